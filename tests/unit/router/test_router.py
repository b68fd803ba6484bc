#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""router and tables as programs: questions over channels, Unix users, tables that change or vanish while they run."""
import os, pwd, shutil, sys, tempfile, time
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'harness'))
from kpchan import Program, connect

ROUTER, TABLES = sys.argv[1:3]
DIR = tempfile.mkdtemp(prefix='kp-router-')
ME = pwd.getpwuid(os.getuid()).pw_name


def write(name, text):
    with open(DIR + '/new', 'w') as f:
        f.write(text)
    os.rename(DIR + '/new', DIR + '/' + name)


write('virtual', 'a@va.test one@far.test, two@far.test\n')
common = [('myhostname', 'mx.example.org'), ('mydomain', 'example.org'), ('myorigin', 'example.org'),
          ('mydestination', 'example.org'), ('recipient_delimiter', '+')]
settings = common + [('virtual_alias_maps', 'texthash:virtual'), ('virtual_alias_domains', 'va.test'), ('alias_maps', 'inline:{al=x}'),
                     ('local_recipient_maps', 'unix:passwd.byname inline:{al=x}'), ('local_transport', 'local:mx.example.org')]
tables = Program(TABLES, common, privileged=False)
router = Program(ROUTER, settings, root=DIR, peers=['SMTPD', 'MASTER'], privileged=False)
second = Program(ROUTER, settings, root=DIR, peers=['SMTPD'], privileged=False)
smtpd = router.peers['SMTPD']


def resolve(address, chan=smtpd):
    return chan.call('RESOLVE', ('ROUTE', 'REFUSED'), address=address)[-1]


# without tables a Unix user cannot be told: that is temporary
kind, _, _, v = resolve(ME)
assert kind == 'REFUSED' and v['class'] == 1 and v['code'] == b'4.3.0', (kind, v)
assert resolve('x@far.test')[3]['transport'] == b'smtp'
connect(router, 'ROUTER', tables, 'TABLES')
connect(second, 'ROUTER', tables, 'TABLES')
time.sleep(0.2)

v = resolve(ME + '+x')[3]
assert (v['verdict'], v['class'], v['transport'], v['nexthop'], v['ttl_ms']) == (0, 1, b'local', b'mx.example.org', 5000), v
v = resolve('nobody-of-this-name@example.org')[3]
assert (v['verdict'], v['code'], v['text']) == (1, b'5.1.1', b'User unknown in local recipient table'), v
v = resolve('a@va.test')[3]
assert (v['verdict'], v['expand'], v['ttl_ms']) == (0, 1, 60000), v
rows = smtpd.call('EXPAND', ('DONE', 'REFUSED'), address='a@va.test')
assert [m[3].get('address') for m in rows[:-1]] == [b'one@far.test', b'two@far.test'] and rows[-1][3]['count'] == 2
v = smtpd.call('LOOKUP', ('FOUND', 'REFUSED'), maps='alias_maps', key='AL')[-1][3]
assert (v['found'], v['value'], v['owner']) == (1, b'x', b'root'), v
assert smtpd.call('LOOKUP', ('FOUND', 'REFUSED'), maps='no_maps', key='x')[-1][0] == 'REFUSED'
user = pwd.getpwnam(ME)
v = smtpd.call('MAILBOX', ('MAILBOX_IS', 'REFUSED'), **{'name': ME, 'kind': 0})[-1][3]
assert (v['found'], v['uid'], v['gid'], v['home']) == (1, user.pw_uid, user.pw_gid, user.pw_dir.encode()), v

# two workers agree, and a changed table is another generation for both
first = resolve('x@far.test')[3]['generation']
assert first != 0 and resolve('x@far.test', second.peers['SMTPD'])[3]['generation'] == first
write('virtual', 'b@va.test one@far.test\n')
deadline, changed = time.time() + 5, None
while changed is None and time.time() < deadline:
    kind, _, _, v = smtpd.get(5, want=('GENERATION',))
    changed = v['generation'] if v['generation'] != first else None
assert changed is not None
assert resolve('a@va.test')[3]['verdict'] == 1 and resolve('b@va.test')[3]['expand'] == 1
time.sleep(0.2)
assert resolve('x@far.test', second.peers['SMTPD'])[3]['generation'] == changed

# a table that cannot be read defers, and is there again when it is back
os.unlink(DIR + '/virtual')
time.sleep(0.2)
kind, _, _, v = resolve('b@va.test')
assert kind == 'REFUSED' and v['class'] == 1, (kind, v)
write('virtual', 'b@va.test one@far.test\n')
time.sleep(0.2)
assert resolve('b@va.test')[3]['expand'] == 1

lines = [m[3]['text'].decode() for m in router.peers['MASTER'].call('EXPLAIN', ('DONE', 'REFUSED'), what='address', argument='b@va.test')[:-1]]
assert 'class: virtual alias' in lines and 'expansion: one@far.test' in lines, lines

# a partner that talks nonsense loses its channel, the others do not notice
smtpd.sock.send(b'\x01' * 100)
try:
    while True:
        smtpd.get(5, want=('REFUSED',))
except EOFError:
    pass
assert second.peers['SMTPD'].call('RESOLVE', ('ROUTE', 'REFUSED'), address='x@far.test')[-1][0] == 'ROUTE'
assert router.add_peer('SMTPD').call('RESOLVE', ('ROUTE', 'REFUSED'), address='x@far.test')[-1][0] == 'ROUTE'
for p in (router, second, tables):
    assert p.stop() == 0
shutil.rmtree(DIR)
