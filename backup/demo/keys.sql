-- What the rows keep to. No foreign key for flights.dest and flights.tailnum: four destinations are not among the
-- airports, and 722 aircraft not among the planes.
ALTER TABLE airlines ADD PRIMARY KEY (carrier);
ALTER TABLE airports ADD PRIMARY KEY (faa);
ALTER TABLE planes ADD PRIMARY KEY (tailnum);
ALTER TABLE weather ADD PRIMARY KEY (origin, time_hour);
ALTER TABLE flights ADD PRIMARY KEY (time_hour, carrier, flight, origin);

ALTER TABLE weather ADD FOREIGN KEY (origin) REFERENCES airports;
ALTER TABLE flights ADD FOREIGN KEY (carrier) REFERENCES airlines;
ALTER TABLE flights ADD FOREIGN KEY (origin) REFERENCES airports;

CREATE INDEX flights_route ON flights (origin, dest);
CREATE INDEX flights_plane ON flights (tailnum) WHERE tailnum IS NOT NULL;
CREATE INDEX flights_late ON flights (dep_delay DESC) WHERE dep_delay >= 60;

CREATE VIEW busiest_routes AS
SELECT
    flights.origin,
    flights.dest,
    airports.name AS destination,
    count(*) AS flights,
    round(avg(flights.dep_delay), 1) AS average_delay
FROM flights
LEFT JOIN airports ON airports.faa = flights.dest
GROUP BY flights.origin, flights.dest, airports.name
ORDER BY count(*) DESC;
