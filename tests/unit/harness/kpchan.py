# SPDX-License-Identifier: ISC
"""The part of master, for tests of one program: starts it with descriptor 3, gives it settings and channels, and plays its
partners. The messages are read from lib/msg, so that this file knows none of them."""
import array, os, re, select, socket, struct, subprocess, time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


def _constants(text):
    values = {}
    for name, value in re.findall(r'^\s*(MSG_\w+_MAX)\s*=\s*([0-9* ]+)', text, re.M):
        values[name] = eval(value)
    return values


def _fields(text):
    text = re.sub(r'\\\n', ' ', text)
    raw = {name: body for name, body in re.findall(r'#define MSG_(\w+)_FIELDS\(F\)(.*)', text)}

    def expand(name):
        body = re.sub(r'MSG_(\w+)_FIELDS\(F\)', lambda m: expand(m.group(1)), raw[name])
        return body
    return {name: re.findall(r'F\((\w+), (\w+), [^)]*\)', expand(name)) for name in raw}


_fields_text = open(os.path.join(TOP, 'lib/msg/fields.h')).read()
_msg_text = re.sub(r'/\*.*?\*/', '', open(os.path.join(TOP, 'lib/msg/msg.h')).read(), flags=re.S)
FIELDS = _fields(_fields_text)
TYPES = ['NONE'] + [m for m in re.findall(r'\bM\((\w+), \w+, MSG_\w+\)', _msg_text)]
PROGRAMS = [p for p in re.findall(r'PROGRAM_(\w+),', open(os.path.join(TOP, 'lib/service/program.h')).read())]


def encode(kind, values):
    out, fds = b'', []
    for i, (ftype, name) in enumerate(FIELDS[kind]):
        value = values.get(name, -1 if ftype == 'FD' else 0 if ftype == 'U64' else b'')
        out += bytes([i + 1])
        if ftype == 'U64':
            out += struct.pack('<Q', value)
        elif ftype == 'STR':
            value = value.encode() if isinstance(value, str) else value
            out += struct.pack('<I', len(value)) + value
        else:
            out += bytes([value >= 0])
            if value >= 0:
                fds.append(value)
    for name in values:
        assert name in [n for _, n in FIELDS[kind]], (kind, name)
    return out, fds


def decode(kind, data, fds):
    values, at = {}, 0
    for i, (ftype, name) in enumerate(FIELDS[kind]):
        assert data[at] == i + 1
        at += 1
        if ftype == 'U64':
            values[name] = struct.unpack_from('<Q', data, at)[0]
            at += 8
        elif ftype == 'STR':
            n = struct.unpack_from('<I', data, at)[0]
            values[name] = data[at + 4:at + 4 + n]
            at += 4 + n
        else:
            values[name] = fds.pop(0) if data[at] else -1
            at += 1
    assert at == len(data)
    return values


class Chan:
    def __init__(self, sock):
        self.sock, self.inbox, self.next_id = sock, [], 0

    def send(self, kind, /, *, _id=0, _reply=False, **values):
        data, fds = encode(kind, values)
        head = struct.pack('<BBHIIBBBBQ', 1, int(_reply), TYPES.index(kind), _id, len(data), len(fds), 0, 0, 0, 0)
        anc = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))] if fds else []
        self.sock.sendmsg([head + data], anc)

    def ask(self, kind, /, **values):
        self.next_id += 1
        self.send(kind, _id=self.next_id, **values)
        return self.next_id

    def _fill(self, timeout):
        ready, _, _ = select.select([self.sock], [], [], timeout)
        if not ready:
            raise TimeoutError
        data, anc, _, _ = self.sock.recvmsg(65536, 4096)
        if not data:
            raise EOFError
        fds = []
        for _, _, body in anc:
            a = array.array('i')
            a.frombytes(body[:len(body) - len(body) % 4])
            fds += list(a)
        while data:
            _, reply, kind, id, n, nfds, _, _, _, _ = struct.unpack_from('<BBHIIBBBBQ', data)
            mine, fds = fds[:nfds], fds[nfds:]
            self.inbox.append((TYPES[kind], id, bool(reply), decode(TYPES[kind], data[24:24 + n], mine)))
            data = data[24 + n:]

    def get(self, timeout=10, want=None, skip=('GENERATION',)):
        """The next message (kind, id, reply, values) of a wanted kind, or of any but those skipped."""
        end = time.time() + timeout
        while True:
            for i, m in enumerate(self.inbox):
                if (want is None and m[0] not in skip) or (want is not None and m[0] in want):
                    return self.inbox.pop(i)
            self._fill(max(0, end - time.time()))

    def call(self, kind, ends, /, *, _timeout=10, **values):
        """All replies to a request, up to one of the kinds in `ends`."""
        id, out = self.ask(kind, **values), []
        while True:
            m = self.get(_timeout)
            if m[1] != id or not m[2]:
                continue
            out.append(m)
            if m[0] in ends:
                return out


def pair():
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


class Program:
    """A running program; peers['ROUTER'] and so on are the ends that the test holds."""

    def __init__(self, path, settings=(), peers=(), root='', privileged=None, empty='/var/empty-kp', stderr=None):
        mine, theirs = pair()
        self.privileged = os.geteuid() == 0 if privileged is None else privileged
        os.makedirs(empty, exist_ok=True) if self.privileged else None
        self.child = subprocess.Popen(['bash', '-c', 'exec "$0" 3<&%d' % theirs.fileno(), path],
                                      pass_fds=[theirs.fileno()], stderr=stderr)
        theirs.close()
        self.master, self.peers, self.count = Chan(mine), {}, 0
        self.master.send('HELLO', service=os.path.basename(path), worker=0, generation=1,
                         privileged=int(self.privileged), empty=empty, root=root)
        for name, value in settings:
            self.master.send('SETTING', name=name, value=value)
        for peer in peers:
            self.add_peer(peer)
        self.master.send('START')
        kind, _, _, values = self.master.get(30)
        if kind != 'READY':
            raise RuntimeError('%s: %s %s' % (path, kind, values))

    def add_peer(self, peer, fd=None):
        self.count += 1
        theirs = fd
        if fd is None:
            mine, theirs = pair()
            self.peers[peer] = Chan(mine)
        self.master.send('PEER', program=PROGRAMS.index(peer), service=peer.lower(), id=self.count, worker=0,
                         pid=os.getpid(), channel=theirs.fileno())
        theirs.close()
        return self.peers.get(peer)

    def stop(self):
        self.master.send('STOP', grace_ms=2000)
        try:
            return self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            raise


def connect(a, a_name, b, b_name):
    """Wires two programs: a gets a channel to a `b_name`, b one to an `a_name`."""
    x, y = pair()
    a.add_peer(b_name, x)
    b.add_peer(a_name, y)
