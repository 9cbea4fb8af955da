CREATE TYPE place AS (latitude numeric, longitude numeric);
CREATE FUNCTION is_on_earth(place) RETURNS boolean LANGUAGE sql IMMUTABLE
  RETURN abs(($1).latitude) <= 90 AND abs(($1).longitude) <= 180;
