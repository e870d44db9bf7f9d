#!/bin/bash
# needs: /usr/bin/python3
# The interpreter's own corners: files, time, os, mmap, sqlite, json, tempfile, signals.
cat >t.py <<'END'
import bisect, collections, ctypes, datetime, errno, fcntl, glob, hashlib, json, mmap, os, pathlib, platform, resource, shutil, signal, sqlite3, stat, struct, sys, tempfile, time, zlib
print(sys.platform, platform.machine(), os.name, sys.byteorder)
with open('f', 'w') as f: f.write('hello\n' * 1000)
s = os.stat('f'); print(s.st_size, oct(s.st_mode), s.st_nlink, s.st_uid)
with open('f', 'r+b') as f:
    m = mmap.mmap(f.fileno(), 0); m[0:5] = b'HELLO'; m.flush(); print(m.find(b'hello'), m.size(), m[:6]); m.resize(12000); m.close()
    f.seek(0, 2); print(f.tell()); f.truncate(10); print(os.fstat(f.fileno()).st_size)
a = mmap.mmap(-1, 1 << 20); a[5] = 9
if os.fork() == 0:
    a[6] = 7; os._exit(0)
os.wait(); print(a[5], a[6])
db = sqlite3.connect('x.db'); c = db.cursor(); c.execute('pragma journal_mode=wal'); c.execute('create table t(a integer primary key, b text)')
with db: c.executemany('insert into t values(?, ?)', [(i, str(i) * 3) for i in range(2000)])
try:
    with db: db.execute("insert into t values(5, 'dup')")
except sqlite3.IntegrityError as e: print(e)
print(c.execute('select count(*), sum(a), max(b) from t where a % 3 = 0').fetchone())
d2 = sqlite3.connect('x.db', timeout=0.1); db.execute('begin immediate'); 
try: d2.execute('begin immediate')
except sqlite3.OperationalError as e: print(e)
db.rollback(); d2.execute('begin exclusive'); d2.execute('delete from t where a > 10'); d2.commit(); print(c.execute('select count(*) from t').fetchone()); db.execute('vacuum'); print(db.execute('pragma integrity_check').fetchone()); db.close(); d2.close(); print(sorted(os.listdir('.')))
with tempfile.TemporaryDirectory() as d:
    p = pathlib.Path(d); (p / 'a' / 'b').mkdir(parents=True); (p / 'a' / 'x.txt').write_text('x'); (p / 'l').symlink_to('a'); print(sorted(q.relative_to(p).as_posix() for q in p.rglob('*'))); shutil.copytree(p / 'a', p / 'c'); shutil.move(p / 'c', p / 'm'); shutil.make_archive(str(p / 'z'), 'zip', p / 'a'); print(sorted(os.listdir(d)))
print(os.path.exists(d))
with tempfile.TemporaryFile() as f: f.write(b'abc'); f.seek(0); print(f.read())
with tempfile.NamedTemporaryFile() as f: print(os.path.exists(f.name), oct(os.stat(f.name).st_mode))
got = []
signal.signal(signal.SIGALRM, lambda s, f: got.append(s)); signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05); t = time.monotonic()
while len(got) < 3: signal.pause()
signal.setitimer(signal.ITIMER_REAL, 0); print(len(got) >= 3, 0.14 < time.monotonic() - t < 5)
signal.alarm(1); print(signal.sigwait({signal.SIGUSR1, signal.SIGALRM}) if not signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGUSR1}) else 0)
os.kill(os.getpid(), signal.SIGUSR1); print(signal.sigpending()); i = signal.sigwaitinfo({signal.SIGUSR1}); print(i.si_signo, i.si_pid == os.getpid(), signal.sigtimedwait({signal.SIGUSR1}, 0.05))
for f in (lambda: open('nosuch'), lambda: os.mkdir('f'), lambda: os.rmdir('/'), lambda: os.listdir('f'), lambda: os.kill(999999, 0), lambda: os.open('.', os.O_WRONLY), lambda: os.readlink('f'), lambda: os.read(99, 1), lambda: os.rename('f', 'no/f'), lambda: os.dup2(0, 1 << 30)):
    try: print(f())
    except OSError as e: print(errno.errorcode[e.errno], type(e).__name__)
r, w = os.pipe(); print(fcntl.fcntl(r, fcntl.F_GETFD), os.get_inheritable(r), fcntl.fcntl(w, 1032)); os.set_blocking(r, False)
try: os.read(r, 1)
except BlockingIOError: print('would block')
os.close(r)
try: os.write(w, b'x')
except BrokenPipeError: print('broken pipe')
fd = os.open('pv', os.O_RDWR | os.O_CREAT); print(os.pwritev(fd, [b'ab', b'cd'], 3), os.pread(fd, 10, 0), os.posix_fallocate(fd, 0, 100), os.fstat(fd).st_size, os.lseek(fd, 0, os.SEEK_END)); os.sendfile(fd, fd, 0, 4); print(os.fstat(fd).st_size); print(os.copy_file_range(fd, os.open('cp', os.O_WRONLY | os.O_CREAT), 7, 0)); os.close(fd)
fcntl.lockf(open('lk', 'w'), fcntl.LOCK_EX | fcntl.LOCK_NB); fl = open('lk2', 'w'); fcntl.flock(fl, fcntl.LOCK_EX)
if os.fork() == 0:
    try: fcntl.flock(open('lk2', 'w'), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError: print('locked', flush=True)
    os._exit(0)
os.wait(); os.utime('f', (1, 2)); print(os.stat('f').st_mtime_ns, os.stat('f').st_atime); os.setxattr('f', 'user.k', b'v'); print(os.getxattr('f', 'user.k'), os.listxattr('f')); os.removexattr('f', 'user.k')
print(resource.getrlimit(resource.RLIMIT_CORE)[0] >= -1, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 1000, resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime >= 0, os.times().user >= 0, time.process_time() > 0, len(os.sched_getaffinity(0)) >= 1, os.getpriority(0, 0), os.cpu_count() >= 1, os.getloadavg()[0] >= 0)
print(time.time() > 1e9, time.clock_getres(time.CLOCK_MONOTONIC), time.strftime('%F %T', time.gmtime(0)), datetime.datetime.fromtimestamp(86400).isoformat()); t = time.perf_counter(); time.sleep(0.05); print(0.05 <= time.perf_counter() - t < 5)
print(hashlib.sha256(b'x' * 100000).hexdigest(), zlib.crc32(b'abc'), json.loads('{"a": [1, 2.5, null]}'), len(os.urandom(33)), len(os.getrandom(7)))
libc = ctypes.CDLL(None, use_errno=True); print(libc.getpid() == os.getpid(), libc.toupper(97), libc.close(999), errno.errorcode[ctypes.get_errno()])
e = [os.scandir('.').__class__.__name__, sorted((x.name, x.is_dir()) for x in os.scandir('.'))[:4]]; print(e); print(os.getcwd() == os.path.realpath('.'), os.umask(0o77), os.umask(0o22)); os.makedirs('a/b/c'); os.removedirs('a/b/c'); print(os.path.exists('a')); fd = os.memfd_create('m'); os.write(fd, b'x' * 10); print(os.fstat(fd).st_size); fd = os.eventfd(3); print(os.eventfd_read(fd)); d = os.open('.', os.O_RDONLY); print(os.stat('f', dir_fd=d).st_size, os.access('f', os.W_OK), os.statvfs('.').f_namemax, os.isatty(0), os.get_terminal_size.__name__)
try: x = bytearray(1 << 45)
except MemoryError: print('MemoryError')
def deep(n): return deep(n + 1)
try: deep(0)
except RecursionError: print('RecursionError')
l = [i * i for i in range(300000)]; print(sum(l), len({str(i) for i in l[:50000]}))
sys.stderr.write('to stderr\n'); sys.exit(5)
END
/usr/bin/python3 -u t.py; echo $?
/usr/bin/python3 -c 'import os; os.abort()' 2>/dev/null; echo $?; /usr/bin/python3 -c 'raise SystemExit("bye")'; echo $?; echo 'print(input()[::-1])' >i.py; echo abc | /usr/bin/python3 i.py; echo 'print(1/0)' | /usr/bin/python3 -; echo $?; /usr/bin/python3 -m json.tool <<<'{"b":1}'; /usr/bin/python3 -m compileall -q i.py && ls __pycache__ | wc -l; /usr/bin/python3 -c 'while True: pass' & p=$!; sleep 0.5; kill -INT $p; kill $p; wait $p 2>/dev/null; echo $?; timeout --foreground -s INT 1 /usr/bin/python3 -c '
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
try: time.sleep(10)
except KeyboardInterrupt: print("interrupted")'; /usr/bin/python3 -X faulthandler -c 'import ctypes; ctypes.string_at(0)' 2>&1 | head -1
exit 0
