#!/usr/bin/env bash
# node: objects, JSON, buffers, compression, and worker threads.
# shellcheck source=tests/programs/head.sh
. "$(dirname "$0")/head.sh"
need nodejs node

cat >work.js <<'JS'
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const zlib = require('zlib');
const crypto = require('crypto');
const scale = Number(process.argv[2]);

function numbers(seed) { let x = seed; return () => (x = (Math.imul(x, 1103515245) + 12345) & 0x7fffffff) >> 8; }

function work(seed) {
    const next = numbers(seed), hash = crypto.createHash('sha256');
    let kept = [];
    for (let round = 0; round < 30 * scale; round++) {
        const list = [];
        for (let i = 0; i < 1500; i++)
            list.push({ id: next(), name: 'n' + next().toString(36), tags: [next() % 7, 'x'.repeat(next() % 60)] });
        const text = JSON.stringify(list);
        const packed = zlib.deflateSync(Buffer.from(text), { level: 1 });
        hash.update(zlib.inflateSync(packed));
        kept.push(Buffer.alloc(next() % 200000, round & 255), JSON.parse(text));
        if (kept.length > 20) kept = kept.filter((_, i) => i % 3 == 0);
    }
    for (const b of kept) if (Buffer.isBuffer(b)) hash.update(b);
    return hash.digest('hex');
}

if (!isMainThread) {
    parentPort.postMessage(work(workerData));
} else {
    const answers = [work(1)];
    let left = 3;
    for (let i = 0; i < 3; i++) {
        const worker = new Worker(__filename, { workerData: i + 2, argv: [scale] });
        worker.on('message', (answer) => { answers[i + 1] = answer; });
        worker.on('error', (error) => { throw error; });
        worker.on('exit', () => { if (--left == 0) console.log(answers.join('\n')); });
    }
}
JS
work() { "${run[@]}" node work.js "$scale" >answer; }
timed work
