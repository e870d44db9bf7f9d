#!/bin/bash
# needs: /usr/bin/python3
# threading, multiprocessing, concurrent.futures, queues, subprocess.
cat >t.py <<'END'
import concurrent.futures as cf, multiprocessing as mp, multiprocessing.shared_memory as shm, os, queue, signal, subprocess, sys, threading, time
def square(x): return x * x
def worker(q, r):
    while (x := q.get()) is not None: r.put(x + 1)
def adder(v, l):
    for _ in range(200):
        with l: v.value += 1
def main():
    n = [0]; lock = threading.Lock()
    def inc():
        for _ in range(2000):
            with lock: n[0] += 1
    ts = [threading.Thread(target=inc) for _ in range(8)]; [t.start() for t in ts]; [t.join() for t in ts]; print(n[0])
    q = queue.Queue(5); out = []
    def consume():
        while (x := q.get()) is not None: out.append(x)
    t = threading.Thread(target=consume); t.start(); [q.put(i) for i in range(500)]; q.put(None); t.join(); print(sum(out))
    e = threading.Event(); print(e.wait(0.05)); threading.Timer(0.05, e.set).start(); print(e.wait(5))
    b = threading.Barrier(4); order = []
    ts = [threading.Thread(target=lambda: (b.wait(), order.append(1))) for _ in range(4)]; [t.start() for t in ts]; [t.join() for t in ts]; print(len(order))
    s = threading.Semaphore(2); c = threading.Condition(); loc = threading.local(); loc.x = 1; threading.Thread(target=lambda: print(hasattr(loc, 'x'))).start(); time.sleep(0.1)
    with c: print(c.wait(0.05), s.acquire(timeout=0.1))
    with cf.ThreadPoolExecutor(6) as ex: print(sum(ex.map(square, range(300))))
    with mp.Pool(3) as p: print(p.map(square, range(20)), p.apply_async(square, (9,)).get(20)); print(sorted(p.imap_unordered(square, range(5))))
    q, r = mp.Queue(), mp.Queue(); ps = [mp.Process(target=worker, args=(q, r)) for _ in range(3)]; [p.start() for p in ps]; [q.put(i) for i in range(100)]; print(sum(r.get() for _ in range(100))); [q.put(None) for _ in ps]; [p.join() for p in ps]; print([p.exitcode for p in ps])
    v = mp.Value('i', 0); l = mp.Lock(); ps = [mp.Process(target=adder, args=(v, l)) for _ in range(4)]; [p.start() for p in ps]; [p.join() for p in ps]; print(v.value)
    a, b = mp.Pipe(); p = mp.Process(target=lambda c: c.send({'pid': os.getppid() > 0, 'data': b'x' * 200000}), args=(b,)); p.start(); d = a.recv(); p.join(); print(d['pid'], len(d['data']), p.exitcode)
    p = mp.Process(target=time.sleep, args=(30,)); p.start(); p.terminate(); p.join(); print(p.exitcode); p = mp.Process(target=sys.exit, args=(7,)); p.start(); p.join(5); print(p.exitcode)
    m = shm.SharedMemory(create=True, size=100); m.buf[0] = 5; m2 = shm.SharedMemory(m.name); print(m2.buf[0]); m2.close(); m.close(); m.unlink()
    with mp.Manager() as man: dd = man.dict(); p = mp.Process(target=dd.update, args=({'k': 1},)); p.start(); p.join(); print(dict(dd))
    ctx = mp.get_context('spawn')
    with ctx.Pool(2) as p: print(p.map(square, [3, 4]))
    with cf.ProcessPoolExecutor(2, mp_context=mp.get_context('forkserver')) as ex: print(list(ex.map(square, [5, 6])))
    print(subprocess.run(['echo', 'hi'], capture_output=True).stdout, subprocess.check_output('echo a; echo b >&2', shell=True, stderr=subprocess.STDOUT), subprocess.call(['false']), subprocess.run(['cat'], input=b'x' * 300000, stdout=subprocess.PIPE).stdout == b'x' * 300000)
    try: subprocess.run(['sleep', '10'], timeout=0.2)
    except subprocess.TimeoutExpired: print('timeout')
    try: subprocess.run(['nosuch'])
    except FileNotFoundError as e: print(e)
    try: subprocess.run(['/etc/passwd'])
    except PermissionError as e: print(e)
    p = subprocess.Popen(['sort'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True); print(p.communicate('b\na\n')); p = subprocess.Popen(['sleep', '30'], start_new_session=True); print(p.poll(), os.getpgid(p.pid) == p.pid); os.killpg(p.pid, signal.SIGTERM); print(p.wait())
    p1 = subprocess.Popen(['seq', '1000'], stdout=subprocess.PIPE); p2 = subprocess.Popen(['tail', '-1'], stdin=p1.stdout, stdout=subprocess.PIPE); p1.stdout.close(); print(p2.communicate()[0]); print(subprocess.run(['pwd'], cwd='/', env={'A': '1'}, capture_output=True, preexec_fn=os.setsid).stdout, subprocess.run(['sh', '-c', 'echo >&5 x'], pass_fds=[]).returncode)
    print([subprocess.run(['sh', '-c', f'exit {i}']).returncode for i in range(20)])
    pid = os.posix_spawn('/bin/echo', ['echo', 'spawned'], os.environ); print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])); fd = os.pidfd_open(pid2 := os.spawnlp(os.P_NOWAIT, 'sleep', 'sleep', '0.1')); import select; print(len(select.select([fd], [], [], 5)[0]), os.waitid(os.P_PIDFD, fd, os.WEXITED).si_status)
    print(os.system('exit 3') >> 8, os.popen('echo popen').read())
    def handler(s, f): raise InterruptedError('alarm')
    signal.signal(signal.SIGALRM, handler); signal.alarm(1)
    try: threading.Event().wait(10)
    except InterruptedError as e: print(e)
    t = threading.Thread(target=lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGALRM))
    try: t.start(); time.sleep(5)
    except InterruptedError: print('pthread_kill')
if __name__ == '__main__': mp.set_start_method('fork'); main()
END
/usr/bin/python3 -u t.py; echo $?; exit 0
