#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""spawn: whom it starts an agent for, and whom not. The parts that need root are skipped without it."""
import os, pwd, shutil, socket, sys, tempfile, time
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'harness'))
from kpchan import Program, pair

DIR = tempfile.mkdtemp(prefix='kp-spawn-')
os.chmod(DIR, 0o755)
for program in sys.argv[1:3]:
    shutil.copy(program, DIR)
os.mkdir(DIR + '/mail')
NOUSER, NOPERM = 67, 77


def start(privileged):
    return Program(DIR + '/spawn', [('mail_spool_directory', 'mail/')], root=DIR, peers=['LOCAL'], privileged=privileged)


def outcome(p, **who):
    """The agent's uids, gids and groups while it runs, or the exit status of one that could not."""
    mine, theirs = pair()
    kind, _, _, v = p.peers['LOCAL'].call('SPAWN', ('SPAWNED', 'REFUSED'), channel=theirs.fileno(), **who)[-1]
    theirs.close()
    assert kind == 'SPAWNED', v
    try:
        end = p.peers['LOCAL'].get(1.0, want=('SPAWN_EXIT',))[3]
        return end['status'] >> 8
    except TimeoutError:
        pass
    status = dict(line.split(':', 1) for line in open('/proc/%d/status' % v['pid']))
    fds = sorted(int(fd) for fd in os.listdir('/proc/%d/fd' % v['pid']))
    environment = open('/proc/%d/environ' % v['pid']).read()
    mine.close()
    end = p.peers['LOCAL'].get(5, want=('SPAWN_EXIT',))[3]
    assert (end['pid'], end['status']) == (v['pid'], 0)
    assert fds[:4] == [0, 1, 2, 3] and environment.count('\0') == 1, (fds, environment)
    return [sorted(set(status[k].split())) for k in ('Uid', 'Gid')] + [sorted(status['Groups'].split())]


p = start(False)
me = pwd.getpwuid(os.getuid())
assert outcome(p, user=me.pw_name)[0] == [str(os.getuid())]
assert outcome(p, user='no-such-user-here') == NOUSER
other = next(u for u in pwd.getpwall() if u.pw_uid != os.getuid())
assert outcome(p, user=other.pw_name) == NOPERM
assert outcome(p, uid=os.getuid() + 1, gid=1) == NOPERM
assert p.stop() == 0

if os.getuid() == 0:
    p = start(True)
    nobody = pwd.getpwnam('nobody')
    assert outcome(p, user='root') == NOPERM
    assert outcome(p, user='', uid=0, gid=0) == NOPERM
    assert outcome(p, user='', uid=0, gid=100) == NOPERM
    assert outcome(p, user='', uid=5000, gid=0) == NOPERM
    assert outcome(p, user='', uid=99, gid=5000) == NOPERM
    assert outcome(p, user='', uid=5000, gid=5001) == [['5000'], ['5001'], []]
    got = outcome(p, user='nobody', mailbox=1)
    assert got[:2] == [[str(nobody.pw_uid)], [str(nobody.pw_gid)]] and '0' not in got[2], got
    st = os.stat(DIR + '/mail/nobody')
    assert (st.st_uid, st.st_mode & 0o777) == (nobody.pw_uid, 0o700)
    assert p.stop() == 0
shutil.rmtree(DIR)
