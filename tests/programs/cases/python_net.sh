#!/bin/bash
# needs: /usr/bin/python3 /etc/hosts
# TCP and UDP over localhost.
cat >t.py <<'END'
import asyncio, http.client, http.server, os, select, selectors, socket, socketserver, threading, time, urllib.request, xmlrpc.server, xmlrpc.client
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(('127.0.0.1', 0)); s.listen(8); addr = s.getsockname(); c = socket.create_connection(addr, 5); d, peer = s.accept(); print(peer == c.getsockname(), d.getpeername() == peer)
c.sendall(b'hello'); print(d.recv(3), d.recv(10)); d.settimeout(0.05)
try: d.recv(1)
except socket.timeout: print('timeout')
d.settimeout(None); n = []
t = threading.Thread(target=lambda: (c.sendall(b'z' * 3000000), c.shutdown(socket.SHUT_WR))); t.start(); total = 0
while x := d.recv(65536): total += len(x)
t.join(); print(total); d.close(); print(c.recv(1)); c.close()
x = socket.socket(); print(x.connect_ex(('127.0.0.1', addr[1])), x.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)); s.close(); y = socket.socket(); print(y.connect_ex(addr) != 0); x.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1); print(x.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)); z = socket.socket(); z.bind(('127.0.0.1', 0)); z.listen()
try: socket.socket().bind(z.getsockname())
except OSError as e: print(e)
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(('127.0.0.1', 0)); v = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); v.sendto(b'datagram', u.getsockname()); print(u.recvfrom(4)[0]); v.connect(u.getsockname()); v.send(b'two'); v.send(b''); print(u.recv(10), u.recv(10))
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile: self.wfile.write(line.upper())
with socketserver.ThreadingTCPServer(('127.0.0.1', 0), Echo) as srv:
    threading.Thread(target=srv.serve_forever, daemon=True).start()
    def client(i):
        with socket.create_connection(srv.server_address) as c: f = c.makefile('rw'); f.write(f'client {i}\n'); f.flush(); n.append(f.readline())
    ts = [threading.Thread(target=client, args=(i,)) for i in range(20)]; [t.start() for t in ts]; [t.join() for t in ts]; print(sorted(n)[:2], len(n)); srv.shutdown()
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self): b = (self.path * 1000).encode(); self.send_response(200 if self.path != '/no' else 404); self.send_header('Content-Length', str(len(b))); self.end_headers(); self.wfile.write(b)
    def log_message(self, *a): pass
h = http.server.ThreadingHTTPServer(('127.0.0.1', 0), H); threading.Thread(target=h.serve_forever, daemon=True).start(); url = f'http://127.0.0.1:{h.server_port}'; print(len(urllib.request.urlopen(url + '/abc').read()))
try: urllib.request.urlopen(url + '/no')
except Exception as e: print(e)
k = http.client.HTTPConnection('127.0.0.1', h.server_port); [(k.request('GET', '/k'), print(len(k.getresponse().read()))) for _ in range(3)]; k.close(); print(os.system(f'command -v curl >/dev/null && curl -s {url}/curl | wc -c')); h.shutdown()
async def main():
    async def serve(r, w):
        while b := await r.readline(): w.write(b[::-1]); await w.drain()
        w.close()
    s = await asyncio.start_server(serve, '127.0.0.1', 0); port = s.sockets[0].getsockname()[1]
    async def one(i):
        r, w = await asyncio.open_connection('127.0.0.1', port); w.write(b'%d\n' % i); w.write_eof(); b = await r.read(); w.close(); return b
    print(sorted(await asyncio.gather(*(one(i) for i in range(50))))[:3]); s.close()
    try: await asyncio.open_connection('127.0.0.1', 1)
    except OSError as e: print(type(e).__name__)
asyncio.run(main())
print(socket.getaddrinfo('localhost', 80, socket.AF_INET, socket.SOCK_STREAM), socket.inet_ntoa(socket.inet_aton('10.1')), socket.gethostbyname('localhost'), socket.getservbyname('http'))
l = socket.socket(); l.bind(('127.0.0.1', 0)); l.listen(); l.setblocking(False)
try: l.accept()
except BlockingIOError: print('nobody')
nb = socket.socket(); nb.setblocking(False); print(nb.connect_ex(l.getsockname()) in (0, 115)); print(len(select.select([], [nb], [], 2)[1]), nb.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)); q = l.accept()[0]; q.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0'); q.close(); select.select([nb], [], [], 2)
try: nb.recv(1)
except ConnectionResetError: print('reset')
six = socket.socket(socket.AF_INET6); print(six.connect_ex(('::1', 1)) != 0); dual = socket.create_server(('::', 0), family=socket.AF_INET6, dualstack_ipv6=True) if socket.has_dualstack_ipv6() else None
END
timeout 100 /usr/bin/python3 -u t.py; echo $?; exit 0
