#!/usr/bin/env bash
# nginx: files of many sizes, compressed and through a proxy, under wrk; new workers by a reload in between.
# shellcheck source=tests/programs/head.sh
. "$(dirname "$0")/head.sh"
need nginx-light nginx
need wrk wrk

mkdir -p pages logs temp
for i in 1 2 3 4 5 6; do
    awk -v n=$((10 ** i / 20 + 1)) 'BEGIN { for (i = 0; i < n; i++) print "a line of text, number " i * 7919 % 1000 }' >pages/$i.txt
done

# As root it would give its folders to another user, whom a sandbox may not know.
user=
[ "$(id -u)" != 0 ] || user="user $(id -un) $(id -gn);"

# configure PORT
configure() {
    cat >nginx.conf <<CONF
daemon off;
worker_processes 2;
pid nginx.pid;
$user
error_log logs/error.log;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path temp/body;
    proxy_temp_path temp/proxy;
    fastcgi_temp_path temp/fastcgi;
    uwsgi_temp_path temp/uwsgi;
    scgi_temp_path temp/scgi;
    types { text/plain txt; }
    server {
        listen 127.0.0.1:$1;
        root pages;
        location /packed/ { gzip on; gzip_http_version 1.0; gzip_min_length 1; gzip_types *; alias pages/; }
        location /proxied/ { proxy_pass http://127.0.0.1:$1/packed/; proxy_buffers 8 4k; }
    }
}
CONF
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# On a port that was free a moment ago; another one when somebody took it meanwhile.
start_nginx() {
    local tries
    for tries in 1 2 3 4 5; do
        port=$((20000 + RANDOM % 12000))
        listens "$port" && continue
        configure "$port"
        servers=()
        start "${run[@]}" nginx -p . -e logs/error.log -c nginx.conf 2>server.err
        until listens "$port"; do
            is_up "${servers[0]}" || break
            sleep 0.02
        done
        is_up "${servers[0]}" && return
        grep -q 'Address already in use' server.err logs/error.log || fail "nginx: $(cat server.err logs/error.log)"
    done
    fail "no free port in $tries tries"
}

# fetch PATH: the body.
fetch() {
    exec 3<>"/dev/tcp/127.0.0.1/$port"
    printf 'GET %s HTTP/1.0\r\nHost: x\r\n%s\r\n' "$1" "${2:-}" >&3
    sed '1,/^\r$/d' <&3
    exec 3<&- 3>&-
}

# load PATH: a second of requests; their number goes to the units.
load() {
    wrk -t 1 -c 20 -d "${scale}s" "http://127.0.0.1:$port/$1" -H 'Accept-Encoding: gzip' >wrk.log
    ! grep -E 'Non-2xx|Socket errors' wrk.log || fail "$1: $(cat wrk.log)"
    awk '/requests in/ { print $1 }' wrk.log >>units
}

# The server itself, whatever stands before it.
master() { cat nginx.pid; }

workers() { cat "/proc/$(master)/task/$(master)/children"; }

are_gone() {
    local worker
    for worker; do
        ! is_up "$worker" || return 1
    done
}

# New workers; the old ones would close connections that are made to them now.
reload() {
    local old
    read -ra old < <(workers && echo)
    kill -HUP "$(master)"
    await are_gone "${old[@]}"
}

start_nginx
timed load packed/3.txt
reload
timed load proxied/2.txt
for i in 1 2 3 4 5 6; do
    echo "$i"
    fetch "/$i.txt" | cksum
    fetch "/packed/$i.txt" $'Accept-Encoding: gzip\r\n' | gzip -dc | cksum
    fetch "/proxied/$i.txt" | cksum
done >answer
kill -QUIT "${servers[0]}"
finish "${servers[0]}"
! grep -E '\[(emerg|alert|crit)\]|signal (6|7|11)' logs/error.log || fail 'a worker failed: see above'
