/* SPDX-License-Identifier: ISC */
/*
 * Packets: how messages lie in one datagram of a channel. Each begins with a head of 24 bytes,
 *little-endian:
 *
 *	0  version, of all programs of one build   1  flags: 1 = reply   2  type   4  request id
 *	8  length of the fields that follow       12  descriptors        16  trace id
 */
#ifndef KP_CHAN_PACKET_H
#define KP_CHAN_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/chan/chan.h"

enum {
	PACKET_VERSION = 1,
	PACKET_HEAD = 24,
	PACKET_MAX = 64 * 1024,
	PACKET_FDS_MAX = 16,
};

/* A message found in a packet, not decoded yet. */
struct packet_part {
	struct chan_head head;
	bool reply;
	size_t nfds;
	struct str fields;
};

/* What is being sent or was received. */
struct packet {
	struct buf bytes;
	int fds[PACKET_FDS_MAX];
	size_t nfds;
};

/*
 * Appends a message. -1: not valid (`why` is set) or, with *full, no room left in this packet.
 * Descriptors are duplicated into the packet, which owns the copies.
 */
int packet_add(struct packet *p, const struct chan_head *head, bool reply, const void *msg,
    bool *full, struct why *why) KP_MUST_USE;

/* Cuts the next message off `rest`. 1: there is one; 0: the end; -1: malformed. */
int packet_next(struct str *rest, struct packet_part *part, struct why *why) KP_MUST_USE;

/* Decodes a part's fields, with the descriptors that came with it. */
int packet_decode(const struct packet_part *part, const int *fds, union msg_any *msg,
    struct why *why) KP_MUST_USE;

/* Sends it in one datagram without waiting: 0, or -1 with errno. */
int packet_send(int fd, const struct packet *p) KP_MUST_USE;

/*
 * Receives one datagram of at most PACKET_MAX bytes into `room`, and its descriptors. Bytes
 * received, 0 at the end, -1 with errno. *cut: descriptors were lost for want of room in our table.
 */
ssize_t packet_receive(int fd, char *room, int *fds, size_t *nfds, bool *cut) KP_MUST_USE;

/* Closes the descriptors and empties the packet; keeps its memory. */
void packet_reset(struct packet *p);

/* Closes the descriptors that are still in a received message. */
void packet_close_fds(enum msg_type type, union msg_any *msg);

#endif
