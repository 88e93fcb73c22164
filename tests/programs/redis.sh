#!/usr/bin/env bash
# redis-server: filled with values of mixed sizes, half of them deleted, driven by redis-benchmark while it saves in the
# background (a fork), reloaded from its dump. The answer is the digest of all data.
# shellcheck source=tests/programs/head.sh
. "$(dirname "$0")/head.sh"
need redis-server redis-server
need redis-tools redis-cli redis-benchmark

cli() { redis-cli -s socket "$@"; }
says() { cli INFO persistence | grep -q "^$1"; }

# fill KEYS SEED: deterministic commands for redis-cli.
fill() {
    awk -v keys="$1" -v seed="$2" 'BEGIN {
        text = "the quick brown fox jumps over the lazy dog "
        while (length(text) < 20000) text = text text
        gsub(" ", "-", text)
        x = seed
        for (i = 0; i < keys; i++) {
            x = (x * 69069 + 12345) % 4294967296
            size = 8 + x % (i % 50 == 0 ? 16000 : i % 5 == 0 ? 1500 : 120)
            value = substr(text, 1 + i % 40, int(size))
            kind = i % 4
            if (kind == 0) print "SET s" i, value
            else if (kind == 1) print "HSET h" int(i / 40), "f" i, value
            else if (kind == 2) print "RPUSH l" int(i / 200), value
            else print "ZADD z" int(i / 400), int(x % 1000), "m" i
            if (i % 3 == 2) print "DEL s" (i - i % 4 - 4 * int(x % 10))
        }
    }'
}

work() {
    fill $((60000 * scale)) 1 | cli --pipe >pipe.log
    grep -q 'errors: 0' pipe.log || fail "redis refused commands: $(cat pipe.log)"
    cli BGSAVE >/dev/null
    redis-benchmark -s socket --dbnum 1 -q -n $((60000 * scale)) -r 5000 -d 300 -P 8 -c 20 -t set,get,lpush,lpop,hset \
        >benchmark.log
    cli -n 1 FLUSHDB >/dev/null
}

cat >redis.conf <<'CONF'
port 0
unixsocket socket
save ""
enable-debug-command local
CONF
start "${run[@]}" redis-server redis.conf >server.log 2>server.err
await cli PING
timed work
await says 'rdb_bgsave_in_progress:0'
says 'rdb_last_bgsave_status:ok' || fail 'the background save failed'
{
    cli DBSIZE
    cli DEBUG DIGEST
    cli DEBUG RELOAD
    cli DEBUG DIGEST
} >answer
cli SHUTDOWN NOSAVE >/dev/null
finish "${servers[0]}"
