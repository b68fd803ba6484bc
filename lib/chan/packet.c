/* SPDX-License-Identifier: ISC */
/* The framing of messages in datagrams. Hostile input: every byte and descriptor that
 * packet_receive() brings. */
#include "lib/chan/packet.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/io.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"

enum { FLAG_REPLY = 1 };

static void
put_head(char *to, const struct chan_head *head, bool reply, size_t length, size_t nfds)
{
	uint16_t type = htole16((uint16_t)head->type);
	uint32_t id = htole32(head->id), n = htole32((uint32_t)length);
	uint64_t trace = htole64(head->trace);

	memset(to, 0, PACKET_HEAD);
	to[0] = PACKET_VERSION;
	to[1] = reply ? FLAG_REPLY : 0;
	memcpy(to + 2, &type, sizeof type);
	memcpy(to + 4, &id, sizeof id);
	memcpy(to + 8, &n, sizeof n);
	to[12] = (char)nfds;
	memcpy(to + 16, &trace, sizeof trace);
}

/* Makes the last `n` descriptors of the packet its own; on failure none of them is. */
static int
adopt_fds(struct packet *p, size_t n, struct why *why)
{
	size_t first = p->nfds - n;

	for (size_t i = first; i < p->nfds; i++) {
		int copy = fcntl(p->fds[i], F_DUPFD_CLOEXEC, 0);
		if (copy == -1) {
			why_sys(why, "4.3.0", "pass a descriptor");
			while (i-- > first)
				close(p->fds[i]);
			p->nfds = first;
			return -1;
		}
		p->fds[i] = copy;
	}
	return 0;
}

int
packet_add(struct packet *p, const struct chan_head *head, bool reply, const void *msg, bool *full,
    struct why *why)
{
	const struct wire_type *type = msg_wire(head->type);
	size_t start = p->bytes.n, nfds = 0;
	int fds[WIRE_FDS_MAX];

	if (type == NULL)
		panic("packet_add: message type %d", (int)head->type);
	*full = true; /* unless it fits */
	if (p->nfds + WIRE_FDS_MAX > PACKET_FDS_MAX)
		return -1;
	char *room = buf_room(&p->bytes, PACKET_HEAD);
	if (room == NULL)
		return -1;
	memset(room, 0, PACKET_HEAD);
	buf_grown(&p->bytes, PACKET_HEAD);
	if (wire_encode(type, msg, &p->bytes, fds, &nfds, why) == -1) {
		buf_cut(&p->bytes, start);
		return -1;
	}
	*full = false;
	memcpy(p->fds + p->nfds, fds, nfds * sizeof *fds);
	p->nfds += nfds;
	if (adopt_fds(p, nfds, why) == -1) {
		buf_cut(&p->bytes, start);
		return -1;
	}
	put_head(p->bytes.p + start, head, reply, p->bytes.n - start - PACKET_HEAD, nfds);
	return 0;
}

int
packet_next(struct str *rest, struct packet_part *part, struct why *why)
{
	uint16_t type;
	uint32_t id, n;
	uint64_t trace;

	if (rest->n == 0)
		return 0;
	if (rest->n < PACKET_HEAD)
		return why_perm(why, NULL, "a message's head is cut");
	const unsigned char *p = (const unsigned char *)rest->p;
	memcpy(&type, p + 2, sizeof type);
	memcpy(&id, p + 4, sizeof id);
	memcpy(&n, p + 8, sizeof n);
	memcpy(&trace, p + 16, sizeof trace);
	if (p[0] != PACKET_VERSION)
		return why_perm(
		    why, NULL, "protocol version %u, expected %d", p[0], PACKET_VERSION);
	if (p[1] > FLAG_REPLY || p[12] > WIRE_FDS_MAX || p[13] != 0 || p[14] != 0 || p[15] != 0)
		return why_perm(why, NULL, "malformed message head");
	*part = (struct packet_part){
	    .head = {le32toh(id), le64toh(trace), le16toh(type)},
	    .reply = p[1] == FLAG_REPLY,
	    .nfds = p[12],
	};
	if (msg_wire(part->head.type) == NULL)
		return why_perm(why, NULL, "unknown message type %u", (unsigned)part->head.type);
	*rest = str_from_at(*rest, PACKET_HEAD);
	if (le32toh(n) > rest->n)
		return why_perm(why, NULL, "a message is longer than its packet");
	part->fields = str_sub(*rest, 0, le32toh(n));
	*rest = str_from_at(*rest, part->fields.n);
	return 1;
}

int
packet_decode(const struct packet_part *part, const int *fds, union msg_any *msg, struct why *why)
{
	return wire_decode(msg_wire(part->head.type), part->fields, fds, part->nfds, msg, why);
}

int
packet_send(int fd, const struct packet *p)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof p->fds)];
	} control;
	struct iovec iov = {p->bytes.p, p->bytes.n};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

	if (p->nfds > 0) {
		memset(&control, 0, sizeof control);
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(p->nfds * sizeof *p->fds);
		struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(p->nfds * sizeof *p->fds);
		memcpy(CMSG_DATA(c), p->fds, p->nfds * sizeof *p->fds);
	}
	return sendmsg(fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL) == -1 ? -1 : 0;
}

ssize_t
packet_receive(int fd, char *room, int *fds, size_t *nfds, bool *cut)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(PACKET_FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov = {room, PACKET_MAX};
	struct msghdr mh = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = &control,
	    .msg_controllen = sizeof control};

	*nfds = 0;
	*cut = false;
	ssize_t n = recvmsg(fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n == -1)
		return -1;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&mh); c != NULL; c = CMSG_NXTHDR(&mh, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		*nfds = (c->cmsg_len - CMSG_LEN(0)) / sizeof *fds;
		memcpy(fds, CMSG_DATA(c), *nfds * sizeof *fds);
	}
	*cut = (mh.msg_flags & MSG_CTRUNC) != 0;
	if ((mh.msg_flags & MSG_TRUNC) == 0)
		return n;
	for (size_t i = 0; i < *nfds; i++)
		close(fds[i]);
	*nfds = 0;
	errno = EMSGSIZE;
	return -1;
}

void
packet_reset(struct packet *p)
{
	for (size_t i = 0; i < p->nfds; i++)
		close(p->fds[i]);
	p->nfds = 0;
	buf_reset(&p->bytes);
}

void
packet_close_fds(enum msg_type type, union msg_any *msg)
{
	const struct wire_type *wire = msg_wire(type);
	size_t end = 0;

	for (size_t i = 0; i < wire->n; i++) {
		void *at = wire_place(&wire->fields[i], msg, &end);
		if (wire->fields[i].kind == WIRE_FD)
			fd_close(at);
	}
}
