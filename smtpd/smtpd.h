/* SPDX-License-Identifier: ISC */
/* What the parts of smtpd share: the server (one a process), a session, its transaction. */
#ifndef SMTPD_SMTPD_H
#define SMTPD_SMTPD_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "lib/base/buf.h"
#include "lib/base/why.h"
#include "lib/chan/deadline.h"
#include "lib/chan/loop.h"
#include "lib/mail/address.h"
#include "lib/mail/dotstream.h"
#include "smtpd/conf.h"
#include "lib/mail/networks.h"

struct auth;
struct chan;
struct command;
struct edits;
struct judge;
struct proxy_filter;
struct restrictions;
struct map;
struct forward;
struct haproxy;
struct limits;
struct milter_budget;
struct milter_gift;
struct milter_list;
struct milter_mail;
struct milters;
struct session_milters;
struct route;
struct screen;
struct screen_zone;
struct service;
struct identities;
struct session;
struct session_tls;
struct tls_server;

enum {
	READ_SIZE = 64 * 1024,  /* octets of one read, in room that all sessions share */
	IN_MAX = 4 * READ_SIZE, /* octets that wait in one session; at half a read it pauses */
	COMMANDS_MAX = 24,      /* rows of the command table */
};

/* The states of a session, as bits for the command table. README.md has the picture. */
enum state {
	ST_CONNECT = 1 << 0, /* not greeted yet: the client's name is looked up */
	ST_GREETED = 1 << 1, /* no HELO or EHLO yet */
	ST_READY = 1 << 2,   /* no transaction */
	ST_MAIL = 1 << 3,    /* MAIL was accepted */
	ST_RCPT = 1 << 4,    /* and a recipient */
	ST_BDAT = 1 << 5,    /* and a chunk */
	ST_DATA = 1 << 6,    /* the text of DATA is being read */
	ST_COMMIT = 1 << 7,  /* the message is with cleanup, its answer is waited for */
	ST_CLOSING = 1 << 8, /* last words are on their way */
	ST_AUTH = 1 << 9,    /* a line of the AUTH exchange is awaited */
};

struct server {
	struct service *service;
	struct loop *loop;
	const struct smtpd_conf *conf;
	unsigned offered; /* enum esmtp_extension */
	unsigned hidden;  /* ... that the configuration hides */
	struct networks trusted;
	TAILQ_HEAD(, listener) listeners;
	TAILQ_HEAD(, session) sessions;
	size_t nsessions;
	uint64_t serial; /* of sessions; spreads requests over partners */
	int reserve_fd;  /* given up to accept and refuse when descriptors run out */
	struct networks xclient_hosts, xforward_hosts, proxy_hosts;
	struct networks exempt;          /* from the limits of clients */
	struct networks lenient;         /* from smtpd_forbid_bare_newline */
	struct milter_list *milter_list; /* smtpd_milters */
	unsigned overrides;              /* enum override: receive_override_options */
	struct milter_budget *held; /* content for a proxy filter, bodies that milters replaced */
	struct screen_zone *zones;
	size_t nzones;
	bool stressed; /* near the limit of sessions: shorter time-outs, fewer errors */
	struct restrictions *restrictions;
	struct map *names;  /* names by address */
	struct map *routes; /* routes by recipient */

	/* TLS: see tls.h; all NULL and empty where it is not configured */
	struct tls_server *tls;
	struct identities *identities;
	char *tls_ca;                    /* the authorities of clients, as PEM */
	TAILQ_HEAD(, session_tls) turns; /* handshakes that wait for their turn */
	TAILQ_HEAD(, session_tls) crowd; /* ... for another to end */
	struct loop_task turn;

	char *read_room; /* READ_SIZE */

	/* AUTH: see auth.h */
	char *auth_mechanisms, *auth_plain;    /* what keeper offers; NULL: nothing now */
	unsigned auth_wanted, auth_wanted_tls; /* enum auth_quality */
	struct networks auth_exceptions;

	char *decode_room; /* what READ_SIZE octets may become */
	bool stopping;
	bool draining; /* no new sessions; those that are go on */
};

struct rcpt {
	struct route *route;
	char *original; /* NULL: the route's address is what was said */
	char *orcpt;    /* xtext; NULL: none */
	unsigned notify;
};

/* From MAIL to the reply to the content. */
struct transaction {
	struct addr sender;
	char *envid; /* xtext; NULL: none */
	unsigned ret;
	uint64_t flags; /* enum mail_flag */
	uint64_t announced;
	struct map *facts;          /* what restrictions have found out (facts.h); NULL: nothing */
	struct edits *edits;        /* changes to the message (edits.h); NULL: none */
	struct milters *milters;    /* the chain that has heard of it; NULL: none */
	struct milter_mail *mail;   /* as milters see it; NULL: not yet, or none */
	struct route *sender_route; /* for their macros; NULL: none */
	char *queue_id;             /* once cleanup has shown the message */
	struct milter_gift *gift;   /* what they made of it, on its way to cleanup; NULL: none */
	bool looking, shown;        /* cleanup is asked to show it, and has done so */
	struct milter_budget *held_in; /* counts `held` octets for a proxy filter; NULL: none */
	size_t held;
	struct proxy_filter *proxy; /* see proxy_filter.h; NULL: none under way */
	char *hold;                 /* the reason why it goes to hold; NULL: it does not */
	struct rcpt *rcpts;
	size_t nrcpts, rcpts_size;
	struct rcpt pending; /* the recipient whose route is being asked for */

	/* the content */
	struct dot_decoder decoder;
	struct buf content;   /* as long as it is small */
	uint64_t size;        /* octets of content so far */
	uint64_t received;    /* octets that came in, for the log */
	uint64_t chunk;       /* octets of the chunk under way that are to come */
	uint64_t chunk_size;  /* ... of so many */
	bool last;            /* ... which is the last */
	struct why failure;   /* why the rest is thrown away */
	struct chan *cleanup; /* NULL: not opened, or gone */
	uint32_t request;
	int pipe; /* large content goes here; -1: it does not */
	struct event ev_pipe;
	struct buf pipe_rest; /* what the pipe did not take */
	bool ended;           /* all content is in */
	bool parked;          /* ... and waits for room in cleanup's channel */
	bool committed;       /* cleanup has been told to keep it */
};

/* How often a command was given, and refused. */
struct count {
	uint16_t total, failed;
};

typedef size_t take_fn(struct session *s, struct str in);
typedef void expire_fn(struct session *s);
typedef void route_then_fn(struct session *s, struct route *route, const struct why *why);
typedef void judged_fn(struct session *s, const struct why *why);

struct session {
	struct server *server;
	TAILQ_ENTRY(session) link;
	enum state state;
	int fd;
	uint64_t trace;
	uint64_t serial;

	/* the client */
	struct sockaddr_storage *addr; /* while its name is looked up */
	char *client_name;
	char client_addr[INET6_ADDRSTRLEN];
	uint16_t client_port;
	bool exempt;  /* in smtpd_client_event_limit_exceptions */
	bool trusted; /* in mynetworks, or a caller on this machine */
	bool lenient; /* in smtpd_forbid_bare_newline_exclusions */
	bool local;   /* `sendmail -bs`: uid and origin are known */
	bool counted; /* limiter counts it among those of its network */
	bool esmtp;
	uint64_t uid;
	char *origin;
	char *helo;

	/* in and out */
	struct event ev_read, ev_write;
	struct loop_task flush;
	struct loop_task more;   /* TLS has more input than was read */
	struct session_tls *tls; /* NULL: in plain */
	bool tls_due;            /* the handshake begins when `out` has been written */
	struct buf in;           /* what could not be taken yet */
	struct buf out;          /* what has not been written */
	take_fn *take;           /* who reads the input now */
	struct deadline deadline;
	expire_fn *expire;
	bool waiting;  /* for a partner, a full pipe or a penalty's end: no input is taken */
	bool taking;   /* take() is at work */
	bool eof;      /* the client has sent all it will */
	bool paused;   /* too much input waits: nothing is read */
	bool overlong; /* the line under way is thrown away */
	bool linger;   /* read away what comes, so that the last words arrive */
	uint64_t skip; /* octets of a refused chunk to throw away */

	/* the command under way, and all there were */
	const struct command *command;
	bool failed; /* it was refused */
	int64_t
	    penalty_ms; /* an error too many, an unknown recipient: wait before the next command */
	unsigned errors, junk;
	struct count counts[COMMANDS_MAX];

	/* the question under way */
	struct chan *asked;
	uint32_t question;
	route_then_fn *route_then;
	char *asked_for; /* the name or address that it is about */
	char *verify;    /* what VRFY asked for */
	bool name_found;
	uint64_t name_ttl;

	/* AUTH: see auth.h */
	struct auth *auth;  /* the exchange under way; NULL: none */
	char *login;        /* who the client has proved to be; NULL: nobody */
	char *sasl_method;  /* ... and how */
	bool auth_excepted; /* in smtpd_sasl_exceptions_networks */

	struct haproxy *haproxy; /* while a load balancer says who connected */

	/* what a trusted host says of its client: see forward.h */
	bool may_xclient, may_xforward; /* by the address that connected */
	struct forward *forward;        /* whose mail comes next; NULL: its own */

	struct session_milters *milters; /* see milter.h; NULL: none */

	/* what limiter and the tests before the greeting say */
	struct limits *limits;
	bool met; /* asked about before the handshake of implicit TLS */
	struct screen *screen;
	struct why *screened; /* each recipient is refused with it; NULL: passed */
	struct chan *harvest; /* asked about unknown recipients */
	uint32_t harvest_id;
	judged_fn *grey_then;

	/* restrictions: see judge.h */
	struct judge *judge;        /* the evaluation that waits; NULL: none */
	struct route *verify_route; /* of what VRFY asked for */
	unsigned mails;             /* transactions begun, for the attribute "instance" */
	bool pipelined;             /* more input came with the command under way */

	/* the stage under way: see stage.h */
	unsigned stage; /* 0: none */
	size_t gate;    /* of the table in stage.c */
	judged_fn *stage_then;

	struct transaction *tx;
};

#endif
