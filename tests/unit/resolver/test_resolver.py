#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""resolver as a program, against a small DNS server in this process: answers told apart, hosts, time limits, a changed resolv.conf."""
import os, shutil, socket, struct, sys, tempfile, threading, time
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'harness'))
from kpchan import Program

RESOLVER = sys.argv[1]
A, CNAME, PTR, MX, TXT, AAAA, TLSA = 1, 5, 12, 15, 16, 28, 52
OK, NODATA, NXDOMAIN, FAILED = range(4)


def wire(name):
    return b''.join(bytes([len(l)]) + l.encode() for l in name.split('.') if l) + b'\0'


ZONE = {('x.test', MX): [struct.pack('>H', 10) + wire('mx1.x.test'), struct.pack('>H', 20) + wire('mx2.x.test')],
        ('mx1.x.test', A): [bytes([192, 0, 2, 1])], ('null.test', MX): [struct.pack('>H', 0) + b'\0'],
        ('t.test', TXT): [b'\x03foo\x03bar'], ('_25._tcp.mx1.x.test', TLSA): [bytes([3, 1, 1]) + b'\x11' * 32],
        ('5.2.0.192.in-addr.arpa', PTR): [wire('Host.x.test')], ('alias.test', CNAME): [wire('mx1.x.test')]}
NAMES = {name for name, _ in ZONE}


def answer(data):
    i, labels = 12, []
    while data[i]:
        labels.append(data[i + 1:i + 1 + data[i]].decode().lower())
        i += data[i] + 1
    name, kind = '.'.join(labels), struct.unpack('>H', data[i + 1:i + 3])[0]
    if name == 'silent.test':
        return None
    rcode, rows = 0, []
    if name == 'fail.test':
        rcode = 2
    elif (name, kind) in ZONE:
        rows = [(wire(name), kind, r) for r in ZONE[name, kind]]
    elif (name, CNAME) in ZONE:
        rows = [(wire(name), CNAME, r) for r in ZONE[name, CNAME]] + [(wire('mx1.x.test'), kind, r) for r in ZONE.get(('mx1.x.test', kind), [])]
    elif not any(n == name or n.endswith('.' + name) for n in NAMES):
        rcode = 3
    body = b''.join(o + struct.pack('>HHIH', k, 1, 300, len(r)) + r for o, k, r in rows)
    return data[:2] + struct.pack('>HHHHH', 0x8580 | rcode, 1, len(rows), 0, 0) + data[12:i + 5] + body


server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(('127.0.0.1', 0))
PORT = server.getsockname()[1]


def serve():
    while True:
        data, peer = server.recvfrom(4096)
        reply = answer(data)
        if reply:
            server.sendto(reply, peer)


threading.Thread(target=serve, daemon=True).start()
DIR = tempfile.mkdtemp(prefix='kp-resolver-')


def write(name, text):
    with open(DIR + '/new', 'w') as f:
        f.write(text)
    os.rename(DIR + '/new', DIR + '/' + name)


def start(**settings):
    base = {'dns_hosts_file': DIR + '/hosts', 'dns_resolv_conf': DIR + '/resolv.conf', 'dns_timeout': '1s'}
    base.update(settings)
    return Program(RESOLVER, list(base.items()), peers=['REMOTE', 'SMTPD'], privileged=False)


def ask(p, name, kind):
    rows = p.peers['REMOTE'].call('DNS_QUERY', ('DNS_ANSWER',), name=name, type=kind)
    end = rows[-1][3]
    return end['status'], end['name'].decode(), sorted((m[3]['preference'], m[3]['data']) for m in rows[:-1])


write('hosts', '192.0.2.77 inhosts.test alias-h\n')
write('resolv.conf', 'nameserver 127.0.0.1@%d\n' % PORT)
p = start()
CASES = [
    ('x.test', MX, (OK, 'x.test', [(10, b'mx1.x.test'), (20, b'mx2.x.test')])),
    ('X.Test.', MX, (OK, 'x.test', [(10, b'mx1.x.test'), (20, b'mx2.x.test')])),
    ('null.test', MX, (OK, 'null.test', [(0, b'')])),
    ('mx1.x.test', A, (OK, 'mx1.x.test', [(0, b'\xc0\0\x02\x01')])),
    ('mx1.x.test', AAAA, (NODATA, 'mx1.x.test', [])),
    ('t.test', TXT, (OK, 't.test', [(0, b'foobar')])),
    ('_25._tcp.mx1.x.test', TLSA, (OK, '_25._tcp.mx1.x.test', [(0, b'\3\1\1' + b'\x11' * 32)])),
    ('192.0.2.5', PTR, (OK, '5.2.0.192.in-addr.arpa', [(0, b'host.x.test')])),
    ('alias.test', A, (OK, 'mx1.x.test', [(0, b'\xc0\0\x02\x01')])),
    ('alias.test', AAAA, (NODATA, 'mx1.x.test', [])),
    ('nope.test', MX, (NXDOMAIN, 'nope.test', [])),
    ('fail.test', A, (FAILED, 'fail.test', [])),
    ('silent.test', A, (FAILED, 'silent.test', [])),
    ('localhost', A, (OK, 'localhost', [(0, b'\x7f\0\0\1')])),
    ('localhost', MX, (NODATA, 'localhost', [])),
    ('127.0.0.1', PTR, (OK, '1.0.0.127.in-addr.arpa', [(0, b'localhost')])),
    ('inhosts.test', A, (OK, 'inhosts.test', [(0, b'\xc0\0\x02\x4d')])),
    ('alias-h', AAAA, (NODATA, 'alias-h', [])),
    ('192.0.2.77', PTR, (OK, '77.2.0.192.in-addr.arpa', [(0, b'inhosts.test')])),
    ('a..b', A, (NXDOMAIN, '', [])),
    ('x.test', 99, (FAILED, '', [])),
]
for name, kind, expected in CASES:
    got = ask(p, name, kind)
    assert got == expected, (name, kind, got)

# a partner that goes while its questions are under way takes nothing with it
for i in range(50):
    p.peers['SMTPD'].ask('DNS_QUERY', name='silent.test', type=A)
p.peers['SMTPD'].sock.close()
assert ask(p, 'mx1.x.test', A)[0] == OK

# no server: at once; then one appears
write('resolv.conf', '# none\n')
time.sleep(1.5)
begin = time.time()
assert ask(p, 'new.x.test', MX)[0] == FAILED
assert ask(p, 'inhosts.test', MX)[0] == NODATA
assert time.time() - begin < 0.5
write('resolv.conf', 'nameserver 127.0.0.1@%d\n' % PORT)
write('hosts', '192.0.2.78 inhosts.test\n')
time.sleep(1.5)
assert ask(p, 'x.test', MX)[0] == OK
assert ask(p, 'inhosts.test', A)[2] == [(0, b'\xc0\0\x02\x4e')]
assert p.stop() == 0

# a server that nobody reaches: within dns_timeout
p = start(dns_servers='192.0.2.1')
begin = time.time()
assert ask(p, 'x.test', MX)[0] == FAILED
assert time.time() - begin < 3
assert p.stop() == 0
shutil.rmtree(DIR)
