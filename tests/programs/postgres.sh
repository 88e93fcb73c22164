#!/usr/bin/env bash
# PostgreSQL: a cluster is made, filled and driven by pgbench; queries with sorts, hashes, JSON and parallel workers.
# shellcheck source=tests/programs/head.sh
. "$(dirname "$0")/head.sh"
bin=$(find /usr/lib/postgresql/*/bin -maxdepth 0 2>/dev/null | sort -V | tail -n 1)
PATH=${bin:-/none}:$PATH
need postgresql initdb postgres pgbench psql

# PostgreSQL refuses to be root.
as=()
if [ "$(id -u)" = 0 ]; then
    chown postgres: .
    as=(setpriv --reuid postgres --regid postgres --clear-groups)
fi
query() { "${as[@]}" psql -qAtX -h "$PWD" -U person -d postgres -v ON_ERROR_STOP=1; }

"${as[@]}" "${run[@]}" initdb -D data -U person -A trust --no-sync --no-locale -E UTF8 >initdb.log 2>&1 ||
    fail "initdb: $(tail -n 5 initdb.log)"
cat >>data/postgresql.conf <<'CONF'
listen_addresses = ''
unix_socket_directories = '..'
fsync = off
shared_buffers = 64MB
work_mem = 16MB
max_parallel_workers_per_gather = 2
min_parallel_table_scan_size = 0
CONF
start "${as[@]}" "${run[@]}" postgres -D data >server.log 2>&1
await pg_isready -q -h "$PWD" -d postgres

work() {
    "${as[@]}" pgbench -h "$PWD" -U person -q -i -s $((2 * scale)) postgres >pgbench.log 2>&1
    "${as[@]}" pgbench -h "$PWD" -U person -c 4 -t $((500 * scale)) --random-seed=1 postgres >>pgbench.log 2>&1
    query >answer <<SQL
CREATE TABLE t AS SELECT i, md5(i::text) AS h, i * 7919 % 1000 AS k, jsonb_build_object('i', i, 'l', jsonb_build_array(i % 7, md5(i::text))) AS j
    FROM generate_series(1, $((50000 * scale))) i;
CREATE INDEX ON t (h);
CREATE INDEX ON t USING gin (j);
ANALYZE t;
SELECT count(*), sum(k), max(h), min(h) FROM t;
SELECT k, count(*), md5(string_agg(h, ',' ORDER BY h)) FROM t GROUP BY k ORDER BY k LIMIT 50;
SELECT count(*) FROM t a JOIN t b ON a.k = b.k AND a.i % 100 = 3 AND b.i % 50 = 4;
SELECT md5(string_agg(j::text, ',' ORDER BY i)) FROM t;
SELECT count(*) FROM t WHERE j @> '{"l": [3]}';
SELECT regexp_replace(h, '[0-9]+', '-', 'g') FROM t ORDER BY h DESC LIMIT 20;
DO \$\$ BEGIN FOR i IN 1..2000 LOOP EXECUTE format('SELECT %s + length(%L)', i, repeat('x', i)); END LOOP; END \$\$;
SELECT count(*) FROM pgbench_accounts;
SELECT sum(abalance) = (SELECT sum(delta) FROM pgbench_history), (SELECT count(*) FROM pgbench_history) FROM pgbench_accounts;
SQL
}
timed work
kill -INT "${servers[0]}" # the fast shutdown
finish "${servers[0]}"
! grep -E 'PANIC|terminated by signal' server.log || fail 'a server process failed: see above'
