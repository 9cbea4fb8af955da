"""What the catalogue says of a database, as queries that give rows (name, value), both text; one a kind of fact.

Owns the SQL. Every name is qualified and quoted where the search path is empty, no value holds an OID or depends on
the order of creation, and where PostgreSQL 15 and 18 say the same thing differently, the queries say it alike. What
may be a password (of a user mapping, a subscription, a setting) is there as its MD5. Members of extensions are no
facts: they come with the extension.
"""

from __future__ import annotations

_USER_SCHEMA = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
_NAME = "format('%I.%I', n.nspname, c.relname)"
"""As the snapshot has it; `c.oid::regclass` would be the name that it has now, and a number once it was dropped."""


def _own(catalog: str, alias: str) -> str:
    """A condition: not a member of an extension."""
    return f"""NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '{catalog}'::regclass
        AND e.objid = {alias}.oid AND e.deptype = 'e')"""


def _dumped(index: str) -> str:
    """A condition: no index that was left behind invalid, as a CREATE INDEX CONCURRENTLY that failed does."""
    return f"""NOT EXISTS (SELECT FROM pg_index AS v JOIN pg_class AS p ON p.oid = v.indrelid
        WHERE v.indexrelid = {index} AND NOT v.indisvalid AND p.relkind <> 'p')"""


def _acl(acl: str) -> str:
    """An ACL as sorted text. MAINTAIN, part of ALL and the owner's since 17, counts only where it stands alone."""
    return f"""(SELECT coalesce(string_agg(format('%s: %s%s by %s', who, privilege_type,
            CASE WHEN is_grantable THEN ' with grant option' END, pg_get_userbyid(grantor)), '; '
            ORDER BY who, privilege_type, pg_get_userbyid(grantor)), 'nobody')
        FROM (SELECT *, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(grantee) END AS who,
                bool_or(privilege_type = 'TRUNCATE') OVER (PARTITION BY grantee) AS all_of_them
            FROM aclexplode({acl})) AS item
        WHERE NOT (privilege_type = 'MAINTAIN' AND (all_of_them OR grantee = grantor)))"""


_COLUMN_OPTIONS = "array(SELECT o FROM unnest(a.attoptions) AS o WHERE o NOT LIKE 'pg\\_attver=%')"
"""Without where in the write-ahead log a column was changed, which some builds keep there and no dump has."""


_QUALIFIER = r"""'(''(?:[^'']|'''')*'')|(?:"(?:[^"]|"")*"|\m[[:alpha:]_][[:alnum:]_$]*)[.]'"""
"""A string, which stays, or the name of a table before a column, which goes."""


def _options(options: str) -> str:
    return f"(SELECT string_agg(o, ', ' ORDER BY o COLLATE \"C\") FROM unnest({options}) AS o)"


DATABASE = {
    "database": """SELECT 'encoding', pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()
        UNION ALL SELECT 'collate', datcollate FROM pg_database WHERE datname = current_database()
        UNION ALL SELECT 'ctype', datctype FROM pg_database WHERE datname = current_database()
        UNION ALL SELECT 'provider', to_jsonb(d) ->> 'datlocprovider' FROM pg_database AS d
            WHERE datname = current_database()
        UNION ALL SELECT 'locale', coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale')
            FROM pg_database AS d WHERE datname = current_database()
        UNION ALL SELECT 'connections', datconnlimit::text FROM pg_database WHERE datname = current_database()
        UNION ALL SELECT 'comment', shobj_description(oid, 'pg_database') FROM pg_database
            WHERE datname = current_database()""",
    "database acl": f"""SELECT '', {_acl("coalesce(datacl, acldefault('d', datdba))")} FROM pg_database
        WHERE datname = current_database()""",
    "database setting": """SELECT coalesce(r.rolname, ''), (SELECT string_agg(split_part(o, '=', 1) || '=md5 ' ||
                md5(substr(o, strpos(o, '=') + 1)), ', ' ORDER BY o COLLATE "C") FROM unnest(s.setconfig) AS o)
        FROM pg_db_role_setting AS s
        JOIN pg_database AS d ON d.oid = s.setdatabase LEFT JOIN pg_roles AS r ON r.oid = s.setrole
        WHERE d.datname = current_database()""",
}

RELATIONS = {
    "schema": f"""SELECT quote_ident(nspname), '' FROM pg_namespace AS n
        WHERE {_USER_SCHEMA} AND {_own("pg_namespace", "n")}""",
    "relation": f"""SELECT {_NAME}, concat_ws(' | ',
            'kind ' || c.relkind::text, 'persistence ' || c.relpersistence::text,
            'of type ' || nullif(c.reloftype, 0)::regtype,
            'row security ' || c.relrowsecurity || c.relforcerowsecurity, 'identity ' || c.relreplident::text,
            'populated ' || c.relispopulated, 'method ' || am.amname,
            'options ' || {_options("c.reloptions")}, 'toast ' || {_options("toast.reloptions")},
            'by ' || pg_get_partkeydef(c.oid), 'partition ' || pg_get_expr(c.relpartbound, c.oid),
            'parents ' || (SELECT string_agg(inhparent::regclass::text, ', ' ORDER BY inhseqno)
                FROM pg_inherits WHERE inhrelid = c.oid))
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace LEFT JOIN pg_am AS am ON am.oid = c.relam
        LEFT JOIN pg_class AS toast ON toast.oid = c.reltoastrelid
        WHERE {_USER_SCHEMA} AND {_own("pg_class", "c")} AND {_dumped("c.oid")}""",
    # Columns that came from a parent stand first after a restore: of such tables the order is no fact.
    "column": f"""SELECT format('%s.%I', {_NAME}, a.attname), concat_ws(' | ',
            CASE WHEN c.relispartition OR NOT EXISTS (SELECT FROM pg_inherits AS p WHERE p.inhrelid = c.oid)
                THEN 'number ' || row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum) END,
            format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'not null' END,
            'default ' || pg_get_expr(d.adbin, d.adrelid), 'identity ' || nullif(a.attidentity::text, ''),
            'generated ' || nullif(a.attgenerated::text, ''), 'collation ' || nullif(a.attcollation, 0)::regcollation,
            'storage ' || a.attstorage::text, 'compression ' || nullif(a.attcompression::text, ''),
            'target ' || nullif(a.attstattarget, -1), 'options ' || {_options(_COLUMN_OPTIONS)},
            'foreign options ' || {_options("a.attfdwoptions")}, 'inherited ' || a.attinhcount)
        FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
        LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE {_USER_SCHEMA} AND {_own("pg_class", "c")} AND a.attnum > 0 AND NOT a.attisdropped
            AND c.relkind NOT IN ('i', 'I', 'S')""",
    # Of a foreign key to a partitioned table only itself, not what it leads to, which 15 and 18 name differently.
    "constraint": f"""SELECT format('%I on %s', k.conname,
                coalesce(nullif(k.conrelid, 0)::regclass::text, k.contypid::regtype::text)),
            concat_ws(' | ', pg_get_constraintdef(k.oid), 'validated ' || k.convalidated)
        FROM pg_constraint AS k JOIN pg_namespace AS n ON n.oid = k.connamespace
        WHERE {_USER_SCHEMA} AND k.contype NOT IN ('t', 'n')
            AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.deptype = 'e' AND e.objid IN (k.conrelid, k.contypid))
            AND NOT EXISTS (SELECT FROM pg_constraint AS p WHERE p.oid = k.conparentid AND p.conrelid = k.conrelid)""",
    # The names that 18 gives to NOT NULL by itself are no facts; an older server has none.
    "not null constraint": f"""SELECT format('%I on %s', k.conname, k.conrelid::regclass), pg_get_constraintdef(k.oid)
        FROM pg_constraint AS k JOIN pg_namespace AS n ON n.oid = k.connamespace
        JOIN pg_class AS c ON c.oid = k.conrelid
        JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
        WHERE {_USER_SCHEMA} AND k.contype = 'n' AND k.conname !~ '_not_null[0-9]*$'""",
    "index": f"""SELECT {_NAME}, concat_ws(' | ', pg_get_indexdef(i.indexrelid),
            'clustered ' || i.indisclustered, 'identity ' || i.indisreplident, 'valid ' || i.indisvalid,
            'targets ' || (SELECT string_agg(a.attnum || '=' || a.attstattarget, ' ' ORDER BY a.attnum)
                FROM pg_attribute AS a WHERE a.attrelid = i.indexrelid AND a.attstattarget >= 0),
            'attached to ' || (SELECT inhparent::regclass FROM pg_inherits WHERE inhrelid = i.indexrelid))
        FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE {_USER_SCHEMA} AND {_own("pg_class", "c")} AND {_dumped("c.oid")}""",
    "trigger": """SELECT format('%I on %s', t.tgname, t.tgrelid::regclass), concat_ws(' | ', pg_get_triggerdef(t.oid),
            'enabled ' || t.tgenabled::text)
        FROM pg_trigger AS t WHERE NOT t.tgisinternal""",
    "rule": f"""SELECT format('%I on %s', r.rulename, r.ev_class::regclass), concat_ws(' | ', pg_get_ruledef(r.oid),
            'enabled ' || r.ev_enabled::text)
        FROM pg_rewrite AS r JOIN pg_class AS c ON c.oid = r.ev_class JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE {_USER_SCHEMA} AND r.rulename <> '_RETURN'""",
    "policy": """SELECT format('%I on %s', p.polname, p.polrelid::regclass), concat_ws(' | ', p.polcmd,
            CASE WHEN p.polpermissive THEN 'permissive' ELSE 'restrictive' END,
            'to ' || (SELECT string_agg(CASE o WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(o) END, ', '
                ORDER BY pg_get_userbyid(o)) FROM unnest(p.polroles) AS o),
            'using ' || pg_get_expr(p.polqual, p.polrelid), 'check ' || pg_get_expr(p.polwithcheck, p.polrelid))
        FROM pg_policy AS p""",
    # 16 and newer leave out the table's name before a column where there is only one table. So without such names;
    # what they meant is in the list of columns.
    "view": f"""SELECT {_NAME},
            regexp_replace(pg_get_viewdef(c.oid), {_QUALIFIER}, '\\1', 'g') || ' reads ' ||
            (SELECT string_agg(DISTINCT o.type || ' ' || o.identity COLLATE "C", ', ')
                FROM pg_rewrite AS r JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid,
                    pg_identify_object(d.refclassid, d.refobjid, d.refobjsubid) AS o
                WHERE r.ev_class = c.oid AND d.refobjid <> c.oid)
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE {_USER_SCHEMA} AND {_own("pg_class", "c")} AND c.relkind IN ('v', 'm')""",
    "sequence": f"""SELECT {_NAME}, concat_ws(' | ', format_type(s.seqtypid, null),
            'start ' || seqstart,
            'by ' || seqincrement, 'from ' || seqmin, 'to ' || seqmax, 'cache ' || seqcache, 'cycle ' || seqcycle,
            'owned by ' || (SELECT format('%s.%I %s', d.refobjid::regclass, a.attname, d.deptype) FROM pg_depend AS d
                JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                WHERE d.classid = 'pg_class'::regclass AND d.objid = s.seqrelid
                AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')))
        FROM pg_sequence AS s JOIN pg_class AS c ON c.oid = s.seqrelid
        JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE {_own("pg_class", "c")}""",
    "statistics": """SELECT format('%s.%I', stxnamespace::regnamespace, stxname), concat_ws(' | ',
            pg_get_statisticsobjdef(oid),
            'target ' || nullif(stxstattarget, -1)) FROM pg_statistic_ext""",
    "foreign table": f"""SELECT t.ftrelid::regclass::text, concat_ws(' | ', s.srvname, {_options("t.ftoptions")})
        FROM pg_foreign_table AS t JOIN pg_foreign_server AS s ON s.oid = t.ftserver""",
}

ROUTINES = {
    "routine": f"""SELECT p.oid::regprocedure::text, pg_get_functiondef(p.oid)
        FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
        WHERE {_USER_SCHEMA} AND {_own("pg_proc", "p")} AND p.prokind <> 'a'""",
    "aggregate": f"""SELECT p.oid::regprocedure::text, concat_ws(' | ', pg_get_function_arguments(p.oid), a.aggkind,
            a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggmtransfn, a.aggminvtransfn, a.aggfinalextra,
            nullif(a.aggsortop, 0)::regoperator, a.aggtranstype::regtype, a.agginitval, a.aggfinalmodify, p.proparallel)
        FROM pg_aggregate AS a JOIN pg_proc AS p ON p.oid = a.aggfnoid JOIN pg_namespace AS n ON n.oid = p.pronamespace
        WHERE {_USER_SCHEMA} AND {_own("pg_proc", "p")}""",
    "operator": f"""SELECT o.oid::regoperator::text, concat_ws(' | ', o.oprcode, nullif(o.oprcom, 0)::regoperator,
            nullif(o.oprnegate, 0)::regoperator, o.oprrest, o.oprjoin, o.oprcanhash, o.oprcanmerge)
        FROM pg_operator AS o JOIN pg_namespace AS n ON n.oid = o.oprnamespace
        WHERE {_USER_SCHEMA} AND {_own("pg_operator", "o")}""",
    "operator class": f"""SELECT format('%I.%I %s', n.nspname, o.opcname, am.amname), concat_ws(' | ',
            o.opcintype::regtype, o.opcdefault, f.opfname,
            (SELECT string_agg(format('%s %s', amopstrategy, amopopr::regoperator), ', '
                ORDER BY amopstrategy, amopopr::regoperator::text COLLATE "C")
                FROM pg_amop WHERE amopfamily = f.oid),
            (SELECT string_agg(format('%s %s', amprocnum, amproc::regprocedure), ', '
                ORDER BY amprocnum, amproc::regprocedure::text COLLATE "C")
                FROM pg_amproc WHERE amprocfamily = f.oid))
        FROM pg_opclass AS o JOIN pg_namespace AS n ON n.oid = o.opcnamespace JOIN pg_am AS am ON am.oid = o.opcmethod
        JOIN pg_opfamily AS f ON f.oid = o.opcfamily WHERE {_USER_SCHEMA} AND {_own("pg_opclass", "o")}""",
    "cast": f"""SELECT format('%s as %s', castsource::regtype, casttarget::regtype),
            concat_ws(' | ', nullif(castfunc, 0)::regprocedure, castcontext, castmethod)
        FROM pg_cast AS c WHERE oid >= 16384 AND {_own("pg_cast", "c")}""",
}

TYPES = {
    "type": f"""SELECT format('%I.%I', n.nspname, t.typname), concat_ws(' | ', t.typtype,
            'labels ' || (SELECT string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder)
                FROM pg_enum WHERE enumtypid = t.oid),
            'of ' || nullif(t.typbasetype, 0)::regtype || ' ' || t.typtypmod, 'default ' || t.typdefault,
            CASE WHEN t.typnotnull THEN 'not null' END, 'collation ' || nullif(t.typcollation, 0)::regcollation,
            'input ' || CASE t.typtype WHEN 'b' THEN t.typinput::regprocedure END, 'category ' || t.typcategory::text,
            'range of ' || (SELECT concat_ws(' ', r.rngsubtype::regtype, r.rngmultitypid::regtype, c.opcname,
                nullif(r.rngcollation, 0)::regcollation, r.rngcanonical, r.rngsubdiff)
                FROM pg_range AS r JOIN pg_opclass AS c ON c.oid = r.rngsubopc WHERE r.rngtypid = t.oid))
        FROM pg_type AS t JOIN pg_namespace AS n ON n.oid = t.typnamespace
        WHERE {_USER_SCHEMA} AND {_own("pg_type", "t")} AND t.typelem = 0
            AND NOT EXISTS (SELECT FROM pg_class AS c WHERE c.oid = t.typrelid AND c.relkind <> 'c')""",
    "collation": f"""SELECT c.oid::regcollation::text, concat_ws(' | ', c.collprovider, c.collcollate, c.collctype,
            coalesce(to_jsonb(c) ->> 'colllocale', to_jsonb(c) ->> 'colliculocale'), c.collisdeterministic,
            c.collencoding)
        FROM pg_collation AS c JOIN pg_namespace AS n ON n.oid = c.collnamespace WHERE {_USER_SCHEMA}""",
    "conversion": f"""SELECT format('%I.%I', n.nspname, c.conname), concat_ws(' | ',
            pg_encoding_to_char(conforencoding), pg_encoding_to_char(contoencoding), conproc, condefault)
        FROM pg_conversion AS c JOIN pg_namespace AS n ON n.oid = c.connamespace WHERE {_USER_SCHEMA}""",
    "text search configuration": f"""SELECT c.oid::regconfig::text, concat_ws(' | ',
            p.prsname,
            (SELECT string_agg(format('%s %s %s', m.maptokentype, m.mapseqno, m.mapdict::regdictionary), ', '
                ORDER BY m.maptokentype, m.mapseqno) FROM pg_ts_config_map AS m WHERE m.mapcfg = c.oid))
        FROM pg_ts_config AS c JOIN pg_namespace AS n ON n.oid = c.cfgnamespace
        JOIN pg_ts_parser AS p ON p.oid = c.cfgparser WHERE {_USER_SCHEMA}""",
    "text search dictionary": f"""SELECT d.oid::regdictionary::text, concat_ws(' | ', t.tmplname, d.dictinitoption)
        FROM pg_ts_dict AS d JOIN pg_namespace AS n ON n.oid = d.dictnamespace
        JOIN pg_ts_template AS t ON t.oid = d.dicttemplate WHERE {_USER_SCHEMA} AND {_own("pg_ts_dict", "d")}""",
}

WHOLE = {
    "extension": """SELECT quote_ident(e.extname), n.nspname
        FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace""",
    "event trigger": f"""SELECT quote_ident(evtname), concat_ws(' | ', evtevent, evtfoid::regprocedure,
            'enabled ' || evtenabled::text, array_to_string(evttags, ', '))
        FROM pg_event_trigger AS t WHERE {_own("pg_event_trigger", "t")}""",
    "publication": """SELECT quote_ident(pubname), concat_ws(' | ', puballtables, pubinsert,
            pubupdate, pubdelete, pubtruncate, pubviaroot, nullif(to_jsonb(p) ->> 'pubgencols', 'n'),
            (SELECT string_agg(format('%s (%s) %s', r.prrelid::regclass,
                (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attname) FROM pg_attribute AS a
                    WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs::int2[])),
                pg_get_expr(r.prqual, r.prrelid)), '; ' ORDER BY r.prrelid::regclass::text COLLATE "C")
                FROM pg_publication_rel AS r WHERE r.prpubid = p.oid),
            (SELECT string_agg(s.pnnspid::regnamespace::text, ', ' ORDER BY s.pnnspid::regnamespace::text COLLATE "C")
                FROM pg_publication_namespace AS s WHERE s.pnpubid = p.oid))
        FROM pg_publication AS p""",
    "subscription": """SELECT quote_ident(subname), concat_ws(' | ', 'md5 ' || md5(subconninfo), subslotname,
            array_to_string(subpublications, ', ')) FROM pg_subscription AS s
        JOIN pg_database AS d ON d.oid = s.subdbid WHERE d.datname = current_database()""",
    "foreign data wrapper": f"""SELECT quote_ident(fdwname), {_options("fdwoptions")} FROM pg_foreign_data_wrapper AS f
        WHERE {_own("pg_foreign_data_wrapper", "f")}""",
    "foreign server": f"""SELECT quote_ident(srvname), concat_ws(' | ', fdwname, srvtype,
            srvversion, {_options("srvoptions")})
        FROM pg_foreign_server AS s JOIN pg_foreign_data_wrapper AS f ON f.oid = s.srvfdw""",
    "user mapping": f"""SELECT format('%I for %s', srvname, usename), 'md5 ' || md5({_options("umoptions")})
        FROM pg_user_mappings""",
    "access method": """SELECT quote_ident(amname), concat_ws(' | ', amtype::text, amhandler) FROM pg_am AS a
        WHERE oid >= 16384 AND NOT EXISTS (SELECT FROM pg_depend AS e WHERE e.classid = 'pg_am'::regclass
            AND e.objid = a.oid AND e.deptype = 'e')""",
    "language": f"""SELECT quote_ident(lanname), concat_ws(' | ', lanpltrusted::text, lanplcallfoid::regproc)
        FROM pg_language AS l WHERE oid >= 16384 AND {_own("pg_language", "l")}""",
    "operator family": f"""SELECT format('%I.%I %s', n.nspname, f.opfname, am.amname), '' FROM pg_opfamily AS f
        JOIN pg_namespace AS n ON n.oid = f.opfnamespace JOIN pg_am AS am ON am.oid = f.opfmethod
        WHERE {_USER_SCHEMA} AND {_own("pg_opfamily", "f")}""",
    "text search parser": f"""SELECT format('%I.%I', n.nspname, prsname), concat_ws(' | ', prsstart, prstoken)
        FROM pg_ts_parser AS p JOIN pg_namespace AS n ON n.oid = p.prsnamespace
        WHERE {_USER_SCHEMA} AND {_own("pg_ts_parser", "p")}""",
    "text search template": f"""SELECT format('%I.%I', n.nspname, tmplname), concat_ws(' | ', tmplinit, tmpllexize)
        FROM pg_ts_template AS t JOIN pg_namespace AS n ON n.oid = t.tmplnamespace
        WHERE {_USER_SCHEMA} AND {_own("pg_ts_template", "t")}""",
    "security label": """SELECT concat_ws(' ', objtype, objname, provider), label FROM pg_seclabels
        WHERE objtype NOT IN ('role', 'tablespace')""",
    "transform": f"""SELECT concat_ws(' ', trftype::regtype, l.lanname), concat_ws(' | ', trffromsql, trftosql)
        FROM pg_transform AS t JOIN pg_language AS l ON l.oid = t.trflang WHERE {_own("pg_transform", "t")}""",
    "default privileges": f"""SELECT concat_ws(' ', pg_get_userbyid(defaclrole),
            nullif(defaclnamespace, 0)::regnamespace, defaclobjtype), {_acl("defaclacl")} FROM pg_default_acl""",
    "comment": f"""SELECT type || ' ' || identity, description FROM pg_description AS c,
            pg_identify_object(classoid, objoid, objsubid)
        WHERE (objoid >= 16384 OR classoid IN ('pg_namespace'::regclass, 'pg_extension'::regclass,
            'pg_largeobject'::regclass)) AND coalesce(schema, '') <> 'pg_catalog'
            AND identity NOT IN ('pg_toast', 'pg_catalog') AND NOT EXISTS (
                SELECT FROM pg_depend AS e WHERE e.classid = c.classoid AND e.objid = c.objoid AND e.deptype = 'e')
            AND (c.classoid <> 'pg_class'::regclass OR {_dumped("c.objoid")})""",
    "acl": f"""SELECT kind || ' ' || name, {_acl("acl")} FROM (
            SELECT 'schema' AS kind, quote_ident(nspname) AS name, coalesce(nspacl, acldefault('n', nspowner)) AS acl
                FROM pg_namespace AS n WHERE {_USER_SCHEMA}
            UNION ALL SELECT 'relation', {_NAME},
                coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner))
                FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
                WHERE {_USER_SCHEMA} AND relkind NOT IN ('i', 'I', 'c') AND {_own("pg_class", "c")}
            UNION ALL SELECT 'column', format('%s.%I', {_NAME}, attname), attacl
                FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
                JOIN pg_namespace AS n ON n.oid = c.relnamespace
                WHERE {_USER_SCHEMA} AND attacl IS NOT NULL AND NOT attisdropped AND {_own("pg_class", "c")}
            UNION ALL SELECT 'routine', p.oid::regprocedure::text, coalesce(proacl, acldefault('f', proowner))
                FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
                WHERE {_USER_SCHEMA} AND {_own("pg_proc", "p")}
            UNION ALL SELECT 'type', format('%I.%I', n.nspname, t.typname), coalesce(typacl, acldefault('T', typowner))
                FROM pg_type AS t JOIN pg_namespace AS n ON n.oid = t.typnamespace
                WHERE {_USER_SCHEMA} AND typelem = 0 AND {_own("pg_type", "t")}
            UNION ALL SELECT 'language', quote_ident(lanname), lanacl FROM pg_language WHERE lanacl IS NOT NULL
            UNION ALL SELECT 'wrapper', fdwname, coalesce(fdwacl, acldefault('F', fdwowner))
                FROM pg_foreign_data_wrapper
            UNION ALL SELECT 'server', srvname, coalesce(srvacl, acldefault('S', srvowner)) FROM pg_foreign_server
        ) AS item""",
    "large object acl": f"""SELECT oid::text, {_acl("coalesce(lomacl, acldefault('L', lomowner))")}
        FROM pg_largeobject_metadata""",
    "owner": f"""SELECT kind || ' ' || name, pg_get_userbyid(owner) FROM (
            SELECT 'database' AS kind, '' AS name, datdba AS owner FROM pg_database WHERE datname = current_database()
            UNION ALL SELECT 'schema', quote_ident(nspname), nspowner FROM pg_namespace AS n
                WHERE {_USER_SCHEMA} AND {_own("pg_namespace", "n")}
            UNION ALL SELECT 'relation', {_NAME}, relowner
                FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
                WHERE {_USER_SCHEMA} AND relkind NOT IN ('i', 'I', 'c') AND {_own("pg_class", "c")}
            UNION ALL SELECT 'routine', p.oid::regprocedure::text, proowner
                FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
                WHERE {_USER_SCHEMA} AND {_own("pg_proc", "p")}
            UNION ALL SELECT 'type', format('%I.%I', n.nspname, t.typname), typowner
                FROM pg_type AS t JOIN pg_namespace AS n ON n.oid = t.typnamespace
                WHERE {_USER_SCHEMA} AND typelem = 0 AND typtype <> 'm' AND {_own("pg_type", "t")}
            UNION ALL SELECT 'operator', o.oid::regoperator::text, oprowner
                FROM pg_operator AS o JOIN pg_namespace AS n ON n.oid = o.oprnamespace
                WHERE {_USER_SCHEMA} AND {_own("pg_operator", "o")}
            UNION ALL SELECT 'statistics', format('%I.%I', n.nspname, stxname), stxowner
                FROM pg_statistic_ext AS s JOIN pg_namespace AS n ON n.oid = s.stxnamespace
            UNION ALL SELECT 'collation', c.oid::regcollation::text, collowner
                FROM pg_collation AS c JOIN pg_namespace AS n ON n.oid = c.collnamespace WHERE {_USER_SCHEMA}
            UNION ALL SELECT 'text search configuration', c.oid::regconfig::text, cfgowner
                FROM pg_ts_config AS c JOIN pg_namespace AS n ON n.oid = c.cfgnamespace WHERE {_USER_SCHEMA}
            UNION ALL SELECT 'event trigger', quote_ident(evtname), evtowner FROM pg_event_trigger AS t
                WHERE {_own("pg_event_trigger", "t")}
            UNION ALL SELECT 'publication', quote_ident(pubname), pubowner FROM pg_publication
            UNION ALL SELECT 'wrapper', quote_ident(fdwname), fdwowner FROM pg_foreign_data_wrapper AS f
                WHERE {_own("pg_foreign_data_wrapper", "f")}
            UNION ALL SELECT 'server', quote_ident(srvname), srvowner FROM pg_foreign_server
            UNION ALL SELECT 'large object', oid::text, lomowner FROM pg_largeobject_metadata
        ) AS item""",
    # Which version is made, and which tablespaces there are, is the server's: noted, and no proof of anything.
    "extension version": "SELECT quote_ident(extname), extversion FROM pg_extension",
    "tablespace": f"""SELECT {_NAME}, s.spcname FROM pg_class AS c
        JOIN pg_namespace AS n ON n.oid = c.relnamespace JOIN pg_tablespace AS s ON s.oid = c.reltablespace
        WHERE {_USER_SCHEMA}""",
}

QUERIES = DATABASE | RELATIONS | ROUTINES | TYPES | WHOLE
