#!/usr/bin/env bash
# sqlite3: tables filled, indexed, joined, searched as text and as JSON, changed and vacuumed.
# shellcheck source=tests/programs/head.sh
. "$(dirname "$0")/head.sh"
need sqlite3 sqlite3

rows=$((60000 * scale))
cat >work.sql <<SQL
PRAGMA journal_mode = WAL;
PRAGMA cache_size = 4000;
PRAGMA threads = 2;
CREATE TABLE item (id INTEGER PRIMARY KEY, owner INTEGER, name TEXT, body TEXT, data TEXT);
BEGIN;
WITH RECURSIVE n (i, x) AS (SELECT 1, 12345 UNION ALL
    SELECT i + 1, (x * 1103515245 + 12345) % 2147483648 FROM n WHERE i < $rows)
INSERT INTO item SELECT i, x % 997, printf('name-%08x', x),
    substr(printf('%.*c', 1 + x % 5, 'a') || ' quick brown fox ' || hex(x) || ' ' || hex(x * 3) || ' ' || i, 1, 20 + x % 300),
    json_object('id', i, 'x', x, 'list', json_array(x % 7, x % 11, 'v' || x % 13)) FROM n;
COMMIT;
CREATE INDEX item_owner ON item (owner, name);
CREATE INDEX item_body ON item (body);
CREATE VIRTUAL TABLE words USING fts5 (body);
INSERT INTO words (rowid, body) SELECT id, body FROM item WHERE id % 3 = 0;
SELECT count(*), sum(length(body)), max(name) FROM item;
SELECT owner, count(*), group_concat(name, ',') FROM item WHERE owner < 20 GROUP BY owner ORDER BY owner;
SELECT json_extract(data, '\$.list[2]') AS v, count(*), sum(json_extract(data, '\$.x')) FROM item GROUP BY v ORDER BY v;
SELECT a.id, b.id FROM item a JOIN item b ON a.owner = b.owner AND a.name < b.name WHERE a.id % 1000 = 7
    ORDER BY a.id, b.id LIMIT 500;
SELECT count(*) FROM words WHERE words MATCH 'quick AND a*';
SELECT id, row_number() OVER (PARTITION BY owner ORDER BY name), lag(name) OVER (ORDER BY id) FROM item
    ORDER BY body DESC, id LIMIT 300;
DELETE FROM item WHERE id % 2 = 0;
UPDATE item SET body = body || body WHERE owner % 5 = 1;
VACUUM;
PRAGMA integrity_check;
SELECT count(*), sum(length(body)), hex(group_concat(substr(name, 6, 2), '')) FROM (SELECT * FROM item ORDER BY id LIMIT 2000);
SQL
work() { "${run[@]}" sqlite3 -batch -bail data.db <work.sql >answer; }
timed work
