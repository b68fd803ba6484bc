#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""local with its real neighbours router, tables, spawn and the delivery agent; qmgr and cleanup are played. One uid, no privilege."""
import glob, os, pwd, shutil, sys, tempfile, threading, time
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'harness'))
from kpchan import Program, connect

ROUTER, TABLES, SPAWN, LOCAL, DELIVER = sys.argv[1:6]
SENT, EXPANDED, DEFERRED, BOUNCED = 1, 3, 4, 5
ME = pwd.getpwuid(os.getuid()).pw_name
BODY = b'From: a@b\r\nSubject: x\r\n\r\nline\r\nFrom here\r\n.dot\r\n'


class Suite:
    def __init__(self, aliases='', **local):
        self.dir = tempfile.mkdtemp(prefix='kp-local-')
        self.prog = self.dir + '/prog/'
        os.mkdir(self.prog)
        for program in (ROUTER, TABLES, SPAWN, LOCAL, DELIVER):
            shutil.copy(program, self.prog)
        os.mkdir(self.dir + '/mail')
        common = [('myhostname', 'mx.example.org'), ('mydomain', 'example.org'), ('myorigin', 'example.org'),
                  ('mydestination', 'example.org, localhost'), ('recipient_delimiter', '+')]
        self.tables = Program(self.prog + 'tables', common, root=self.dir, privileged=False)
        self.router = Program(self.prog + 'router', common + [
            ('virtual_alias_maps', ''), ('virtual_alias_domains', ''), ('local_recipient_maps', ''),
            ('alias_maps', 'inline:{%s}' % aliases.replace('DIR', self.dir)), ('local_transport', 'local'),
            ('virtual_mailbox_domains', 'vm.test'), ('virtual_mailbox_maps', 'inline:{v@vm.test=v/Maildir/}'),
            ('virtual_mailbox_base', self.dir + '/vmail'), ('virtual_minimum_uid', '1'),
            ('virtual_uid_maps', 'static:%d' % max(1, os.getuid())), ('virtual_gid_maps', 'static:%d' % max(1, os.getgid()))],
            root=self.dir, privileged=False)
        connect(self.router, 'ROUTER', self.tables, 'TABLES')
        self.spawn = Program(self.prog + 'spawn', common, root=self.dir, privileged=False)
        settings = dict(mail_spool_directory='mail/', default_privs=ME, forward_path='{%s/forward.%%e}, {%s/forward}' % (self.dir, self.dir),
                        virtual_minimum_uid='1')
        settings.update({k: v.replace('DIR', self.dir) for k, v in local.items()})
        self.local = Program(self.prog + 'local', common + list(settings.items()), root=self.dir, privileged=False,
                             peers=['QMGR', 'CLEANUP'])
        connect(self.local, 'LOCAL', self.router, 'ROUTER')
        connect(self.local, 'LOCAL', self.spawn, 'SPAWN')
        self.qmgr, self.children, self.refuse, self.serial = self.local.peers['QMGR'], [], False, 0
        threading.Thread(target=self.cleanup, args=(self.local.peers['CLEANUP'],), daemon=True).start()

    def cleanup(self, chan):
        coming, n = {}, 0
        while True:
            try:
                kind, id, _, v = chan.get(3600)
            except Exception:
                return
            if kind == 'MAIL_OPEN':
                coming[id] = dict(v, rcpts=[], data=b'')
            elif kind == 'MAIL_RCPT':
                coming[id]['rcpts'].append(v['address'].decode())
            elif kind == 'MAIL_DATA':
                coming[id]['data'] += v['bytes']
            elif kind == 'MAIL_COMMIT' and self.refuse:
                chan.send('REFUSED', _id=id, _reply=True, **{'class': 1, 'code': '4.3.1', 'text': 'full'})
            elif kind == 'MAIL_COMMIT':
                m, n = coming.pop(id), n + 1
                assert len(m['data']) == v['size']
                self.children.append(m)
                chan.send('MAIL_QUEUED', _id=id, _reply=True, queue_id='CHILD%d' % n)

    def hand(self, rcpts, transport='local', content=BODY, qid=None, fd=None, cls=1):
        q = self.qmgr
        self.serial += 1
        qid = qid or 'Q%d' % self.serial
        q.next_id += 1
        now = int(time.time() * 1e6)
        more = {} if fd is None else {'content': fd}
        q.send('DELIVER', _id=q.next_id, queue_id=qid, sender='s@example.net', transport=transport, nexthop='x', size=len(content),
               header_size=content.index(b'\r\n\r\n') + 2, arrived=now, active=now, attempt=1, recipients=len(rcpts), **more)
        for i, address in enumerate(rcpts):
            q.send('DELIVER_RCPT', _id=q.next_id, index=i, address=address, **{'class': cls})
        for at in range(0, len(content) if fd is None else 0, 30000):
            q.send('DELIVER_DATA', _id=q.next_id, bytes=content[at:at + 30000])
        q.send('DELIVER_GO', _id=q.next_id)
        return qid

    def results(self, ack=None):
        out = {}
        while True:
            kind, _, _, v = self.qmgr.get(30)
            if kind == 'DELIVER_RESULT':
                out[v['index']] = (v['status'], v['code'].decode(), v['text'].decode())
            elif kind == 'DELIVER_END':
                break
        if ack:
            self.qmgr.send('DELIVER_ACK', queue_id=ack)
        return out

    def deliver(self, address, **how):
        self.children.clear()
        qid = self.hand([address + ('@example.org' if '@' not in address else '')], **how)
        return self.results(qid)[0]

    def new(self, user=ME):
        return sorted(glob.glob('%s/mail/%s/new/*' % (self.dir, user)), key=os.path.getmtime)

    def write(self, name, text):
        with open(self.dir + '/' + name, 'w') as f:
            f.write(text)

    def text(self, name):
        with open(self.dir + '/' + name) as f:
            return f.read()

    def end(self):
        for p in (self.local, self.spawn, self.router, self.tables):
            assert p.stop() == 0, p
        shutil.rmtree(self.dir)


ALIASES = '''{ list = one, far@far.test, nested }, { nested = two, far@far.test }, { owner-list = ME }, { loop1 = loop2 }, { loop2 = loop1 },
 { file = DIR/out }, { md = DIR/outdir/ }, { command = "|cat > DIR/cmd; echo $RECIPIENT $EXTENSION >> DIR/cmd" }, { inc = :include:DIR/list },
 { noinc = :include:DIR/missing }, { null = /dev/null }, { two-parts = DIR/out2, "|exit $(cat DIR/status)" }, { me = ME }, { mine = \\ME }, { bad = "unclosed },
 { shell = "|echo '$SENDER' > DIR/x" }'''.replace('ME', ME)


def test_mailboxes(s):
    assert s.deliver(ME) == (SENT, '2.0.0', 'delivered to maildir')
    text = open(s.new()[-1]).read()
    assert text == ('Return-Path: <s@example.net>\nX-Original-To: %s@example.org\nDelivered-To: %s@example.org\n' % (ME, ME) +
                    'From: a@b\nSubject: x\n\nline\nFrom here\n.dot\n'), text
    assert s.deliver(ME + '+ext')[0] == SENT
    assert s.deliver(ME.upper())[0] == SENT
    assert s.deliver('no-such-user-here')[:2] == (BOUNCED, '5.1.1')
    assert s.deliver('v@vm.test', transport='virtual', cls=3)[2] == 'delivered to maildir' or os.getuid() == 0
    assert s.deliver('none@vm.test', transport='virtual', cls=3)[:2] == (BOUNCED, '5.1.1')
    looped = b'Delivered-To: ' + ME.encode() + b'@EXAMPLE.org\r\n' + BODY
    assert s.deliver(ME, content=looped)[:2] == (BOUNCED, '5.4.6')


def test_aliases(s):
    n = len(s.new())
    assert s.deliver('list')[0] == SENT and len(s.children) == 1
    child = s.children[0]
    assert sorted(child['rcpts']) == ['far@far.test', 'one@example.org', 'two@example.org'], child['rcpts']
    assert child['sender'] == b'owner-list@example.org' and child['parent'].endswith(b' 0 0')
    assert child['data'] == b'Delivered-To: list@example.org\r\n' + BODY
    assert s.deliver('nested') == (EXPANDED, '2.0.0', 'forwarded as CHILD2')
    assert s.children[0]['sender'] == b's@example.net'
    assert s.deliver('loop1')[:2] == (BOUNCED, '5.4.6')
    assert s.deliver('me')[0] == EXPANDED and s.children[0]['rcpts'] == [ME + '@example.org']
    assert s.deliver('mine')[0] == SENT and len(s.new()) == n + 1
    assert s.deliver('file') == (SENT, '2.0.0', 'delivered to file: %s/out' % s.dir)
    assert '>From here' in s.text('out')
    assert s.deliver('md')[2] == 'delivered to maildir' and len(os.listdir(s.dir + '/outdir/new')) == 1
    assert s.deliver('command+e$x')[0] == SENT
    assert s.text('cmd').endswith('.dot\ncommand+e_x@example.org e_x\n'), s.text('cmd')
    s.write('list', '# list\nfar@far.test\nlocal\n')
    assert s.deliver('inc')[0] == EXPANDED and s.children[0]['rcpts'] == ['far@far.test', 'local@example.org']
    assert s.deliver('noinc')[:2] == (DEFERRED, '4.3.5')
    assert s.deliver('null')[0] == SENT
    assert s.deliver('bad')[0] == DEFERRED


def test_partial_failure(s):
    """The part that succeeded is not repeated."""
    s.write('status', '75')
    assert s.deliver('two-parts', qid='QQ')[:2] == (DEFERRED, '4.3.0')
    s.write('status', '0')
    assert s.deliver('two-parts', qid='QQ')[0] == SENT
    assert s.text('out2').count('Return-Path') == 1
    s.refuse = True
    assert s.deliver('nested') == (DEFERRED, '4.3.1', 'full')
    s.refuse = False


def test_forward(s):
    n = len(s.new())
    s.write('forward', '\\%s, far@far.test\n"|cat > %s/fcmd"\n' % (ME, s.dir))
    assert s.deliver(ME)[0] == SENT and s.children[0]['rcpts'] == ['far@far.test']
    assert len(s.new()) == n + 1 and '.dot' in s.text('fcmd')
    s.write('forward.ext', 'other@far.test\n')
    assert s.deliver(ME + '+ext')[0] == EXPANDED and s.children[0]['rcpts'] == ['other@far.test']
    s.write('forward', '%s@example.org\n' % ME)
    assert s.deliver(ME)[2] == 'delivered to maildir'
    s.write('forward', '"unclosed\n')
    assert s.deliver(ME)[:2] == (DEFERRED, '4.3.5')
    s.write('forward', '')
    assert s.deliver(ME)[2] == 'delivered to maildir'
    os.unlink(s.dir + '/forward')


def test_large(s):
    big = b'Subject: big\r\n\r\n' + b'0123456789\r\n' * 300000
    with tempfile.TemporaryFile() as f:
        f.write(big)
        f.flush()
        assert s.deliver(ME, content=big, fd=f.fileno())[0] == SENT
        assert os.path.getsize(s.new()[-1]) > 3300000
        assert s.deliver('nested', content=big, fd=f.fileno())[0] == EXPANDED
        assert s.children[0]['data'].endswith(b'0123456789\r\n') and len(s.children[0]['data']) > len(big)


def test_many(s):
    """Many at once, for one user and for several recipients of one message."""
    n = len(s.new())
    ids = [s.hand([ME + '@example.org', 'none-here@example.org', ME + '+x@example.org']) for _ in range(50)]
    out, ended = {}, 0
    while ended < len(ids):
        kind, _, _, v = s.qmgr.get(30)
        if kind == 'DELIVER_RESULT':
            out[v['queue_id'].decode(), v['index']] = v['status']
        ended += kind == 'DELIVER_END'
    assert out == {(q, i): status for q in ids for i, status in enumerate((SENT, BOUNCED, SENT))}
    for qid in ids:
        s.qmgr.send('DELIVER_ACK', queue_id=qid)
    assert len(s.new()) == n + 100


def test_qmgr_dies(s):
    """Results are kept for the next qmgr; what runs is reported, and its result comes later."""
    s.write('status', '0')
    s.hand([ME + '@example.org'], qid='KEPT')
    assert s.results()[0][0] == SENT
    s.write('forward', '"|sleep 1; exit 75"\n')
    s.hand([ME + '@example.org'], qid='RUNNING')
    time.sleep(0.5)
    s.qmgr.sock.close()
    time.sleep(0.1)
    s.qmgr = s.local.add_peer('QMGR')
    report = s.qmgr.call('REPORT', ('REPORT_END',))
    seen = [(m[0], m[3].get('queue_id')) for m in report]
    assert ('DELIVER_RESULT', b'KEPT') in seen and ('REPORT_RUNNING', b'RUNNING') in seen, seen
    kind, id, _, v = s.qmgr.get(10)
    assert (kind, id, v['queue_id'], v['status']) == ('DELIVER_RESULT', 0, b'RUNNING', DEFERRED)
    assert s.qmgr.get(10)[0] == 'DELIVER_END'
    s.qmgr.send('DELIVER_ACK', queue_id='KEPT')
    s.qmgr.send('DELIVER_ACK', queue_id='RUNNING')
    assert [m[0] for m in s.qmgr.call('REPORT', ('REPORT_END',))] == ['REPORT_END']
    os.unlink(s.dir + '/forward')


def test_agent_dies(s):
    s.write('forward', '"|kill -9 $PPID; sleep 1"\n')
    assert s.deliver(ME)[0] == DEFERRED
    os.unlink(s.dir + '/forward')
    assert s.deliver(ME)[0] == SENT


def test_mailbox_command(_):
    s = Suite(ALIASES, mailbox_command='cat > DIR/box; printenv USER HOME LOGNAME SENDER >> DIR/box')
    assert s.deliver(ME)[0] == SENT
    assert s.text('box').endswith('.dot\n%s\n%s\n%s\ns@example.net\n' % (ME, pwd.getpwnam(ME).pw_dir, ME)), s.text('box')
    s.end()


def test_mbox(_):
    s = Suite(ALIASES, mail_spool_directory='mail')
    assert s.deliver(ME) == (SENT, '2.0.0', 'delivered to mailbox')
    assert s.text('mail/' + ME).startswith('From s@example.net  ')
    s.end()


suite = Suite(ALIASES)
for name, test in [(n, t) for n, t in list(globals().items()) if n.startswith('test_')]:
    test(suite)
    print('ok', name, flush=True)
suite.end()
