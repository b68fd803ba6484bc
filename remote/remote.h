/* SPDX-License-Identifier: ISC */
/* What the parts of remote share: deliveries, the way to a next hop, sessions with servers. */
#ifndef REMOTE_REMOTE_H
#define REMOTE_REMOTE_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "lib/base/buf.h"
#include "lib/base/why.h"
#include "lib/chan/chan.h"
#include "lib/chan/loop.h"
#include "lib/mail/reply.h"
#include "lib/msg/fields.h"
#include "remote/conf.h"
#include "remote/nexthop.h"

struct connector;
struct finder;
struct map;
struct service;
struct session;

enum { READ_SIZE = 64 * 1024 };

TAILQ_HEAD(delivery_list, delivery);
TAILQ_HEAD(session_list, session);

struct remote {
	struct service *service;
	struct loop *loop;
	const struct remote_conf *conf;
	struct delivery_list running; /* received, under way */
	struct delivery_list kept;    /* over, not acknowledged yet */
	struct map *pool;             /* idle sessions by next hop: the newest of a chain */
	struct session_list idle;     /* all of them, the oldest first */
	size_t nsessions;
	unsigned ignored; /* extensions that are not used */
	char *read_room;  /* READ_SIZE */
	bool stopping;
};

/* What became of a recipient. */
struct outcome {
	enum delivery_status status; /* DELIVERY_NONE: nothing yet */
	int smtp;
	char code[12];
	char text[MSG_TEXT_MAX + 1];
	char relay[512];
	char mta[MSG_NAME_MAX + 1];
};

struct rcpt {
	uint64_t index;
	char *address, *original, *orcpt;
	unsigned notify;
	bool accepted;           /* by the session under way */
	struct outcome *outcome; /* NULL: nothing yet */
};

/* One request of qmgr: one message, one next hop, some of its recipients. */
struct delivery {
	struct remote *remote;
	TAILQ_ENTRY(delivery) link;
	struct chan *qmgr; /* NULL: gone, or never heard of this one */
	struct chan_head head;
	char *queue_id, *sender, *transport, *nexthop, *envid;
	struct {
		char *name, *addr, *helo, *proto;
		unsigned port;
	} client; /* who brought the message */
	uint64_t flags, facts, size, offset, header_size;
	uint64_t arrived, active; /* microseconds since 1970 */
	unsigned ret;
	struct rcpt *rcpts;
	size_t nrcpts, wanted_rcpts;
	struct buf content; /* small content */
	int file;           /* large content; -1: none */
	bool started;

	struct nexthop hop;
	struct finder *finder;       /* looking for hosts */
	struct hosts *hosts;         /* what was found */
	size_t next_address;         /* the next one to try */
	unsigned sessions;           /* servers that have greeted */
	struct connector *connector; /* connecting */
	struct session *session;
	bool committed;  /* all content has left: it may be at the server */
	bool reached;    /* some server spoke */
	bool over;       /* in `kept` */
	struct why last; /* what went wrong last */
	char last_relay[512], last_mta[MSG_NAME_MAX + 1];
	int64_t began, connected; /* wall_us(): given to us, session ready (0: not) */
};

#endif
