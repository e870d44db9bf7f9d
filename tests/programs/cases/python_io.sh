#!/bin/bash
# needs: /usr/bin/python3
# asyncio, select, poll, epoll, Unix sockets, pseudo-terminals.
cat >t.py <<'END'
import array, asyncio, os, pty, select, selectors, signal, socket, sys, termios, threading, time, tty
async def ticker(n, out):
    for i in range(n): out.append(i); await asyncio.sleep(0.01)
async def amain():
    out = []; await asyncio.gather(*(ticker(5, out) for _ in range(20))); print(sum(out))
    p = await asyncio.create_subprocess_exec('cat', stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE); print((await p.communicate(b'through cat'))[0], p.returncode)
    ps = await asyncio.gather(*(asyncio.create_subprocess_shell(f'exit {i}') for i in range(5))); print([await p.wait() for p in ps])
    try: await asyncio.wait_for(asyncio.sleep(10), 0.05)
    except asyncio.TimeoutError: print('timeout')
    print(await asyncio.to_thread(lambda: threading.current_thread() is threading.main_thread()))
    async def serve(r, w): w.write((await r.readline()).upper()); await w.drain(); w.close()
    s = await asyncio.start_unix_server(serve, 'sock'); r, w = await asyncio.open_unix_connection('sock'); w.write(b'hello\n'); print(await r.read()); w.close(); s.close()
    loop = asyncio.get_running_loop(); f = loop.create_future(); loop.add_signal_handler(signal.SIGUSR1, f.set_result, 'signal'); os.kill(os.getpid(), signal.SIGUSR1); print(await f)
asyncio.run(amain())
r, w = os.pipe(); print(select.select([r], [w], [], 0.05)[1] == [w]); os.write(w, b'x'); print(select.select([r], [], [], 1)[0] == [r]); p = select.poll(); p.register(r, select.POLLIN); print([e for _, e in p.poll(10)]); os.read(r, 1); print(p.poll(20))
e = select.epoll(); e.register(r, select.EPOLLIN | select.EPOLLET); os.write(w, b'y'); print(len(e.poll(1)), len(e.poll(0))); os.write(w, b'z'); print(len(e.poll(1))); os.close(w); print(e.poll(1)[0][1] & select.EPOLLHUP != 0); e.close()
a, b = socket.socketpair(); a.send(b'abc'); print(b.recv(2), b.recv(10)); a.shutdown(socket.SHUT_WR); print(b.recv(1)); fds = array.array('i', [0]); f = open('f', 'w+'); socket.send_fds(b, [b'm'], [f.fileno()]); m, fl, _, _ = socket.recv_fds(a, 10, 1); os.write(fl[0], b'via scm'); print(m, open('f').read()); a.close(); b.close()
s = socket.socket(socket.AF_UNIX); s.bind('s'); s.listen(5); c = socket.socket(socket.AF_UNIX); c.connect('s'); d, _ = s.accept(); c.sendall(b'q' * 100000) if os.fork() == 0 else None; 
END
cat >terminal.py <<'END'
import os, pty, select, signal, sys, termios, time, tty
def read_all(fd):
    out = b''
    while True:
        try: d = os.read(fd, 1000)
        except OSError: break
        if not d: break
        out += d
    return out
pid, fd = pty.fork()
if pid == 0: print(os.isatty(0), os.ttyname(0).startswith('/dev/pts/'), os.getsid(0) == os.getpid()); sys.stdout.flush(); os.execlp('sh', 'sh', '-c', 'stty size; echo done')
out = read_all(fd); print(out, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])); os.close(fd)
pid, fd = pty.fork()
if pid == 0: os.execlp('cat', 'cat')
os.write(fd, b'line\n'); time.sleep(0.3); print(os.read(fd, 100)); os.write(fd, b'x\x7fy\n'); time.sleep(0.3); print(os.read(fd, 100)); os.write(fd, b'\x04'); print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])); os.close(fd)
pid, fd = pty.fork()
if pid == 0: os.execlp('sleep', 'sleep', '30')
time.sleep(0.5); os.write(fd, b'\x03'); print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])); os.close(fd)
m, s = pty.openpty(); tty.setraw(s); os.write(m, b'a\r\x03'); print(os.read(s, 10)); termios.tcsetwinsize(s, (24, 80)); print(termios.tcgetwinsize(m), os.get_terminal_size(s)); a = termios.tcgetattr(s); print(a[3] & termios.ECHO); os.write(s, b'out\n'); print(os.read(m, 10)); os.close(s)
try: print(os.read(m, 1))
except OSError as e: print(e)
pid, fd = pty.fork()
if pid == 0: os.environ['PS1'] = '> '; os.execlp('bash', 'bash', '--norc', '--noprofile', '--noediting')
seen = b''
def expect(what):
    global seen
    while what not in seen:
        if not select.select([fd], [], [], 10)[0]: print('no', what, 'in', seen); break
        seen += os.read(fd, 1000)
    before, found, seen = seen.partition(what)
    return before + found
expect(b'> '); os.write(fd, b'echo $((40+2))\n'); expect(b'42'); os.write(fd, b'sleep 50\n'); expect(b'sleep'); time.sleep(0.4); os.write(fd, b'\x1a'); print(b'Stopped' in expect(b'Stopped')); expect(b'> '); os.write(fd, b'jobs -l | grep -c Stopped\n'); expect(b'\r\n1'); os.write(fd, b'fg\n'); expect(b'sleep 50'); time.sleep(0.4); os.write(fd, b'\x03'); expect(b'> '); os.write(fd, b'echo rc=$?\n'); print(b'rc=130' in expect(b'rc=130')); os.write(fd, b'exit 6\n'); read_all(fd); print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
END
sed -i '$d' t.py; /usr/bin/python3 -u t.py; echo $?; /usr/bin/python3 -u terminal.py; echo $?
echo 'echo in script; exit 3' >s; script -qec 'sh s' typescript </dev/null; echo $?
exit 0
