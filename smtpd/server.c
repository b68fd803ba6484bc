/* SPDX-License-Identifier: ISC */
/*
 * smtpd's table for the service skeleton: whom it serves, how it starts and stops, and the
 * accepting of clients within the limits of this worker. When descriptors run out, a reserved one
 * is given up for a moment, so that a client hears 421 and the listener does not spin.
 */
#include "smtpd/server.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/chan/chan.h"
#include "lib/log/log.h"
#include "lib/conf/override.h"
#include "lib/mail/esmtp.h"
#include "lib/metrics/metrics.h"
#include "lib/sandbox/sandbox.h"
#include "lib/service/service.h"
#include "smtpd/auth.h"
#include "smtpd/client.h"
#include "smtpd/haproxy.h"
#include "smtpd/limits.h"
#include "smtpd/milter.h"
#include "smtpd/proxy_filter.h"
#include "smtpd/restrict.h"
#include "smtpd/routes.h"
#include "smtpd/screen.h"
#include "smtpd/sandbox.h"
#include "smtpd/session.h"
#include "smtpd/submit.h"
#include "smtpd/tls.h"

enum { ACCEPTS_A_ROUND = 16 };

struct listener {
	struct server *server;
	int fd;
	struct event ev;
	TAILQ_ENTRY(listener) link;
};

/* A listener that comes before the server is there waits here. */
struct early {
	char *ca; /* authorities of clients' certificates */
	int *fds;
	size_t n;
};

static struct server *
server_of(struct chan *ch)
{
	struct service *service = chan_owner(ch);

	return service->state;
}

/* --- accepting --- */

static void
refuse(int fd, const char *text)
{
	(void)!write(
	    fd, text, strlen(text)); /* a client that cannot take it is not served either */
	close(fd);
}

/* Stress begins at stress_threshold of the sessions, and ends well below it. */
static void
measure(struct server *server)
{
	size_t limit =
	    (size_t)server->conf->sessions * (size_t)server->conf->stress_threshold / 100;
	bool stressed = server->nsessions >= (server->stressed ? limit * 9 / 10 : limit);

	if (stressed == server->stressed)
		return;
	server->stressed = stressed;
	metric_add(METRIC_STRESSED, stressed ? 1 : -1);
	log_warning("stress mode %s: %zu of %lld sessions", stressed ? "on" : "off",
	    server->nsessions, (long long)server->conf->sessions);
}

void
server_session_gone(struct server *server, struct session *s)
{
	(void)s;
	measure(server);
	if ((server->stopping || server->draining) && server->nsessions == 0)
		service_exit(server->service);
}

struct session *
server_accept(struct server *server, int fd, const struct sockaddr_storage *sa)
{
	if (server->nsessions >= (size_t)server->conf->sessions) {
		refuse(fd, "421 4.3.2 Error: too many connections\r\n");
		return NULL;
	}
	struct session *s = session_new(server, fd, sa);
	measure(server);
	if (server->conf->smtpd_upstream_proxy_protocol == UPSTREAM_HAPROXY)
		haproxy_begin(s);
	else
		client_lookup(s);
	return s;
}

/* EMFILE: the reserved descriptor lets one client in, to hear that there is no room. */
static void
accept_and_refuse(struct server *server, struct listener *l)
{
	fd_close(&server->reserve_fd);
	int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd != -1)
		refuse(fd, "421 4.3.2 Error: out of resources\r\n");
	server->reserve_fd = fcntl(l->fd, F_DUPFD_CLOEXEC, 0);
}

static void
on_acceptable(evutil_socket_t lfd, short what, void *arg)
{
	struct listener *l = arg;
	struct server *server = l->server;

	(void)what;
	for (int i = 0; i < ACCEPTS_A_ROUND; i++) {
		struct sockaddr_storage sa;
		socklen_t n = sizeof sa;
		int fd = accept4(lfd, (struct sockaddr *)&sa, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd == -1 && (errno == EMFILE || errno == ENFILE))
			accept_and_refuse(server, l);
		if (fd == -1)
			return;
		if (server_accept(server, fd, &sa) == NULL)
			log_warning("too many sessions: a client was refused");
	}
}

static void
on_listener(struct service *service, int fd, struct str address)
{
	struct early *early = service->state;

	(void)address;
	if (early == NULL)
		service->state = early = xcalloc(1, sizeof *early);
	early->fds = xrealloc(early->fds, (early->n + 1) * sizeof *early->fds);
	early->fds[early->n++] = fd;
}

static void
listen_on(struct server *server, int fd)
{
	struct listener *l = xcalloc(1, sizeof *l);

	*l = (struct listener){.server = server, .fd = fd};
	event_assign(&l->ev, server->loop->base, fd, EV_READ | EV_PERSIST, on_acceptable, l);
	if (fd_nonblock(fd) == -1 || event_add(&l->ev, NULL) == -1)
		fatal_sys("listener");
	TAILQ_INSERT_TAIL(&server->listeners, l, link);
	if (server->reserve_fd == -1)
		server->reserve_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

static void
close_listeners(struct server *server)
{
	struct listener *l;

	while ((l = TAILQ_FIRST(&server->listeners)) != NULL) {
		TAILQ_REMOVE(&server->listeners, l, link);
		event_del(&l->ev);
		close(l->fd);
		free(l);
	}
	fd_close(&server->reserve_fd);
}

/* --- start and stop --- */

enum { OTHER_FILES = 200 }; /* channels, listeners, milters and policy servers */

/* The sandbox has raised the limit as far as it may. */
static void
check_files(const struct smtpd_conf *conf)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == -1 ||
	    limit.rlim_cur >= (rlim_t)conf->sessions + OTHER_FILES)
		return;
	log_warning(
	    "sessions = %lld, but only %llu descriptors: the limit of open files (hard limit "
	    "%llu) could not be raised further",
	    (long long)conf->sessions, (unsigned long long)limit.rlim_cur,
	    (unsigned long long)limit.rlim_max);
}

/* All that every session is offered, where the configuration does not hide it. */
enum {
	OFFERED = ESMTP_PIPELINING | ESMTP_SIZE | ESMTP_8BITMIME | ESMTP_SMTPUTF8 | ESMTP_CHUNKING |
		  ESMTP_DSN | ESMTP_ENHANCEDSTATUSCODES | ESMTP_LIMITS,
};

static unsigned
hidden(const struct smtpd_conf *conf)
{
	const struct setting_list *keywords = &conf->smtpd_discard_ehlo_keywords;
	unsigned all = 0;
	struct str value;

	for (size_t i = 0; i < keywords->n; i++)
		all |= esmtp_announced(str_from(keywords->items[i]), &value);
	return all;
}

/* What the sandbox hides. */
static int
server_open(struct service *service, struct why *why)
{
	struct early *early = service->state;

	if (early == NULL)
		service->state = early = xcalloc(1, sizeof *early);
	tzset(); /* dates in replies */
	return smtpd_tls_open(service->conf, &early->ca, why);
}

/* Lists of networks, and where they are. */
static const struct {
	size_t networks, list;
} network_lists[] = {
#define NETWORKS(member, setting)                                                     \
	{                                                                             \
		offsetof(struct server, member), offsetof(struct smtpd_conf, setting) \
	}
    NETWORKS(trusted, common.mynetworks),
    NETWORKS(exempt, smtpd_client_event_limit_exceptions),
    NETWORKS(lenient, smtpd_forbid_bare_newline_exclusions),
    NETWORKS(xclient_hosts, smtpd_authorized_xclient_hosts),
    NETWORKS(xforward_hosts, smtpd_authorized_xforward_hosts),
    NETWORKS(proxy_hosts, smtpd_upstream_proxy_hosts),
#undef NETWORKS
};

static struct networks *
networks_at(struct server *server, size_t i)
{
	return (struct networks *)((char *)server + network_lists[i].networks);
}

static int
parse_networks(struct server *server, struct why *why)
{
	for (size_t i = 0; i < NELEM(network_lists); i++) {
		const void *list = (const char *)server->conf + network_lists[i].list;
		if (networks_parse(networks_at(server, i), list, why) == -1)
			return -1;
	}
	return 0;
}

int
server_start(struct service *service, struct why *why)
{
	struct server *server = xcalloc(1, sizeof *server);
	struct early *early = service->state;

	*server = (struct server){
	    .service = service,
	    .loop = &service->loop,
	    .conf = service->conf,
	    .serial = service->worker,
	    .reserve_fd = -1,
	    .names = map_new(),
	    .routes = map_new(),
	    .read_room = xmalloc(READ_SIZE),
	    .decode_room = xmalloc(dot_decode_room(IN_MAX)),
	};
	check_files(server->conf);
	server->hidden = hidden(server->conf);
	server->offered = OFFERED & ~server->hidden;
	TAILQ_INIT(&server->listeners);
	TAILQ_INIT(&server->sessions);
	service->state = server;
	if (parse_networks(server, why) == -1 ||
	    override_parse(
		&server->overrides, &server->conf->common.receive_override_options, why) == -1 ||
	    screen_open(server, why) == -1 || milter_open(server, why) == -1 ||
	    proxy_filter_check(server->conf, why) == -1)
		return -1;
	if (smtpd_tls_start(server, early != NULL ? early->ca : NULL, why) == -1)
		return -1;
	if (restrict_start(server, why) == -1)
		return -1;
	if (auth_start(server, why) == -1)
		return -1;
	for (size_t i = 0; early != NULL && i < early->n; i++)
		listen_on(server, early->fds[i]);
	if (early != NULL)
		free(early->fds);
	free(early);
	return 0;
}

void
server_free(struct server **sp)
{
	struct server *server = *sp;
	struct session *s;

	*sp = NULL;
	if (server == NULL)
		return;
	while ((s = TAILQ_FIRST(&server->sessions)) != NULL)
		session_free(&s);
	close_listeners(server);
	restrict_stop(server);
	smtpd_tls_stop(server);
	auth_stop(server);
	for (size_t i = 0; i < NELEM(network_lists); i++)
		networks_clear(networks_at(server, i));
	screen_close(server);
	milter_close(server);
	map_free(&server->names, free);
	routes_forget(server);
	map_free(&server->routes, NULL);
	free(server->read_room);
	free(server->decode_room);
	free(server);
}

static void
on_stop(struct service *service, int64_t grace_ms)
{
	struct server *server = service->state;
	struct session *s;

	(void)grace_ms; /* the skeleton ends the process when it is over */
	close_listeners(server);
	/* Replaced by a successor, it lets its sessions go on to their own end. */
	server->stopping = !service->draining;
	server->draining = service->draining;
	if (server->stopping)
		TAILQ_FOREACH (s, &server->sessions, link)
			session_shut(s);
	if (server->nsessions == 0)
		service_exit(service);
}

/* --- what partners ask --- */

/* A caller of `sendmail -bs` whom pickup has identified. */
static void
on_session(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct server *server = server_of(ch);
	int fd = chan_take_fd(&msg->session.socket);

	(void)head;
	if (fd == -1)
		return;
	if (server->stopping || fd_nonblock(fd) == -1) {
		refuse(fd, "421 4.3.2 Service shutting down\r\n");
		return;
	}
	if (server->nsessions >= (size_t)server->conf->sessions) {
		refuse(fd, "421 4.3.2 Error: too many connections\r\n");
		return;
	}
	struct session *s = session_new(server, fd, NULL);
	s->uid = msg->session.uid;
	s->origin = str_dup(msg->session.origin);
	client_lookup(s);
}

static void
on_generation(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	(void)head;
	(void)msg;
	routes_forget(server_of(ch));
	smtpd_tls_forget_names(server_of(ch));
}

/* A router that has gone may come back with other tables. */
static void
on_router_gone(struct service *service, struct chan *ch)
{
	(void)ch;
	if (service->state == NULL)
		return;
	routes_forget(service->state);
	smtpd_tls_forget_names(service->state);
}

/* Who waited for room in its channel waits no more. */
static void
on_cleanup_gone(struct service *service, struct chan *ch)
{
	(void)ch;
	if (service->state != NULL)
		submit_unpark(service->state);
}

static void
on_limiter(struct service *service, struct chan *ch)
{
	if (service->state != NULL)
		limits_tell(service->state, ch);
}

static const struct chan_rule from_pickup[] = {
    {MSG_SESSION, on_session},
    {MSG_NONE,    NULL      },
};

static const struct chan_rule from_router[] = {
    {MSG_GENERATION, on_generation},
    {MSG_NONE,       NULL         },
};

static void
on_auth_offered(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	(void)head;
	auth_offered(server_of(ch), &msg->auth_offered);
}

static void
on_keeper_gone(struct service *service, struct chan *ch)
{
	(void)ch;
	if (service->state == NULL)
		return;
	auth_keeper_gone(service->state);
	smtpd_tls_keeper_gone(service->state);
}

static void
on_keeper(struct service *service, struct chan *ch)
{
	if (service->state != NULL)
		smtpd_tls_keeper(service->state, ch);
}

static const struct chan_rule from_keeper[] = {
    {MSG_TICKET_KEYS,        on_ticket_keys       },
    {MSG_IDENTITIES_CHANGED, on_identities_changed},
    {MSG_AUTH_OFFERED,       on_auth_offered      },
    {MSG_NONE,	       NULL                 },
};

static const struct chan_rule from_others[] = {
    {MSG_NONE, NULL},
};

static const struct chan_rule from_operator[] = {
    {MSG_EXPLAIN, restrict_explain},
    {MSG_NONE,    NULL            },
};

static void
on_operator_gone(struct service *service, struct chan *ch)
{
	if (service->state != NULL)
		restrict_explain_drop(service->state, ch);
}

static const struct service_peer peers[] = {
    {PROGRAM_PICKUP,   from_pickup,   NULL,       NULL            },
    {PROGRAM_ROUTER,   from_router,   NULL,       on_router_gone  },
    {PROGRAM_RESOLVER, from_others,   NULL,       NULL            },
    {PROGRAM_CLEANUP,  from_others,   NULL,       on_cleanup_gone },
    {PROGRAM_LIMITER,  from_others,   on_limiter, NULL            },
    {PROGRAM_KEEPER,   from_keeper,   on_keeper,  on_keeper_gone  },
    {PROGRAM_QMGR,     from_others,   NULL,       NULL            },
    {PROGRAM_MASTER,   from_operator, NULL,       on_operator_gone},
    {PROGRAM_NONE,     NULL,          NULL,       NULL            },
};

const struct service_table smtpd_service = {
    .program = PROGRAM_SMTPD,
    .tag = "smtpd",
    .settings = &smtpd_settings,
    .sandbox = &smtpd_sandbox,
    .peers = peers,
    .open = server_open,
    .start = server_start,
    .on_listener = on_listener,
    .on_stop = on_stop,
};
