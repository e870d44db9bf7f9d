#!/bin/bash
# needs: node
cat >t.js <<'END'
const fs = require('fs'), cp = require('child_process'), os = require('os'), path = require('path'), { Worker, isMainThread, parentPort } = require('worker_threads'), net = require('net'), zlib = require('zlib'), crypto = require('crypto'), http = require('http');
(async () => {
  console.log(process.platform, process.argv.length, os.EOL.length, os.cpus().length > 0);
  fs.writeFileSync('f', 'hello'); fs.appendFileSync('f', ' world'); console.log(fs.readFileSync('f', 'utf8'), fs.statSync('f').size); fs.mkdirSync('a/b', { recursive: true }); fs.symlinkSync('f', 'l'); console.log(fs.readdirSync('.').sort().join()); fs.rmSync('a', { recursive: true });
  try { fs.readFileSync('nosuch') } catch (e) { console.log(e.code) }
  console.log((await Promise.all([1, 2, 3, 4, 5, 6].map(async i => { await fs.promises.writeFile('p' + i, 'x'.repeat(i * 10000)); return (await fs.promises.readFile('p' + i)).length }))).join());
  console.log(cp.execSync('echo sync').toString(), cp.spawnSync('sh', ['-c', 'exit 3']).status); await new Promise(r => { const c = cp.spawn('cat'); let o = ''; c.stdout.on('data', d => o += d); c.on('close', code => { console.log(o.length, code); r() }); c.stdin.end('y'.repeat(200000)) }); await new Promise(r => { const c = cp.spawn('sleep', ['30']); c.on('exit', (code, sig) => { console.log(code, sig); r() }); c.kill() });
  await new Promise(r => { const w = new Worker('require("worker_threads").parentPort.postMessage([...Array(100000).keys()].reduce((a, b) => a + b))', { eval: true }); w.on('message', m => console.log('worker', m)); w.on('exit', r) }); console.log(zlib.gunzipSync(zlib.gzipSync('z'.repeat(1000))).length, crypto.createHash('sha1').update('a').digest('hex'));
  await new Promise(r => { const s = net.createServer(c => c.end('from server')).listen('sock', () => net.connect('sock').on('data', d => console.log(d.toString())).on('end', () => s.close(r))) });
  await new Promise(r => { const s = http.createServer((q, p) => p.end('x'.repeat(100000))).listen(0, '127.0.0.1', () => http.get({ port: s.address().port, host: '127.0.0.1', agent: false }, p => { let n = 0; p.on('data', d => n += d.length).on('end', () => { console.log(p.statusCode, n); s.close(r) }) })) });
  await new Promise(r => { const w = fs.watch('.', (e, n) => { if (n == 'watched') { w.close(); console.log('watch'); r() } }); setTimeout(() => fs.writeFileSync('watched', ''), 100) }); process.on('SIGUSR2', () => { console.log('usr2'); process.exit(4) }); process.kill(process.pid, 'SIGUSR2'); setTimeout(() => { }, 5000);
})();
END
node t.js; echo $?; echo 'console.log(require("fs").readFileSync(0, "utf8").toUpperCase())' >i.js; echo piped | node i.js; node -e 'throw new Error("x")' 2>&1 | grep -c 'Error: x'; node -e 'let s = 0; for (let i = 0; i < 5e6; i++) s += i % 7; console.log(s)'; node --max-old-space-size=64 -p '1 + 1'
exit 0
