/* SPDX-License-Identifier: ISC */
/*
 * Questions to resolver, all that can be asked at once: MX first, then A and AAAA of every host.
 * "Could not tell" defers, "is not" bounces; a host without addresses is passed over while others
 * have some. A domain whose best server is this machine is a loop; servers less preferred than this
 * machine are not for it (RFC 5321 5.1).
 */
#include "remote/hosts.h"

#include <arpa/inet.h>
#include <bsd/stdlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/clock.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/mail/address.h"
#include "lib/service/service.h"
#include "remote/delivery.h"

enum { TYPE_A = 1, TYPE_MX = 15, TYPE_AAAA = 28 };
enum { SERVERS_MAX = 20, PER_SERVER_MAX = 16 };

/* A mail server, and its addresses of one family each: [0] IPv6, [1] IPv4. */
struct server {
	char name[HOST_MAX + 1];
	unsigned preference;
	uint32_t order; /* random, among equal ones */
	struct sockaddr_storage sa[2][PER_SERVER_MAX];
	size_t n[2];
};

struct query {
	struct finder *finder;
	struct server *server; /* NULL: the question for MX */
	unsigned type;
	uint32_t id; /* 0: answered, or not asked */
	struct query *next;
};

struct finder {
	struct delivery *d;
	struct chan *resolver;
	struct query *queries;
	size_t pending;
	struct server *servers;
	size_t nservers;
	bool null_mx;
	bool unsure;     /* some question could not be answered */
	struct why none; /* why there is nothing, as far as we know */
	struct loop_task done;
	struct event ev_timer;
};

/* --- the end --- */

void
hosts_free(struct hosts **hp)
{
	if (*hp != NULL)
		free((*hp)->rows);
	free(*hp);
	*hp = NULL;
}

void
finder_free(struct finder **fp)
{
	struct finder *f = *fp;
	struct query *q;

	*fp = NULL;
	if (f == NULL)
		return;
	while ((q = f->queries) != NULL) {
		f->queries = q->next;
		if (q->id != 0 && f->resolver != NULL)
			chan_forget(f->resolver, q->id);
		free(q);
	}
	loop_cancel(f->d->remote->loop, &f->done);
	event_del(&f->ev_timer);
	free(f->servers);
	free(f);
}

static void
add_address(struct hosts *hosts, const struct server *server, const struct sockaddr_storage *sa,
    unsigned port)
{
	struct host_address *a = &hosts->rows[hosts->n++];

	*a = (struct host_address){.preference = server->preference, .sa = *sa};
	memcpy(a->name, server->name, sizeof a->name);
	if (sa->ss_family == AF_INET6)
		((struct sockaddr_in6 *)&a->sa)->sin6_port = htons((uint16_t)port);
	else
		((struct sockaddr_in *)&a->sa)->sin_port = htons((uint16_t)port);
}

/* The servers' addresses in order, the families of one server in turns (RFC 8305 4). */
static struct hosts *
collect(const struct finder *f)
{
	struct hosts *hosts = xcalloc(1, sizeof *hosts);

	hosts->rows = xcalloc(f->nservers * 2 * PER_SERVER_MAX + 1, sizeof *hosts->rows);
	for (size_t s = 0; s < f->nservers; s++) {
		const struct server *server = &f->servers[s];
		for (size_t i = 0; i < PER_SERVER_MAX; i++)
			for (int family = 0; family < 2; family++)
				if (i < server->n[family])
					add_address(
					    hosts, server, &server->sa[family][i], f->d->hop.port);
	}
	return hosts;
}

static void
on_done(void *arg)
{
	struct finder *f = arg;
	struct delivery *d = f->d;
	struct why why = f->none;
	struct hosts *hosts = collect(f);

	if (hosts->n == 0 && f->unsure && why.class != WHY_TEMP)
		why_temp(&why, "4.4.3",
		    "Host or domain name not found. Name service error for name=%s: Host not "
		    "found, try again",
		    d->hop.host);
	if (hosts->n == 0)
		hosts_free(&hosts);
	finder_free(&d->finder);
	delivery_found(d, hosts, &why);
}

static void
finish(struct finder *f)
{
	loop_defer(f->d->remote->loop, &f->done);
}

static void
on_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct finder *f = arg;

	(void)fd;
	(void)what;
	f->unsure = true;
	finish(f);
}

/* --- questions --- */

static const char *
type_name(unsigned type)
{
	return type == TYPE_MX ? "MX" : type == TYPE_A ? "A" : "AAAA";
}

/* Notes why a question brought nothing: the words that Postfix has for it. */
static void
note_none(struct finder *f, const char *name, unsigned type, unsigned status)
{
	static const char text[] =
	    "Host or domain name not found. Name service error for name=%s type=%s: %s";

	if (status == DNS_FAILED) {
		f->unsure = true;
		why_temp(
		    &f->none, "4.4.3", text, name, type_name(type), "Host not found, try again");
	} else if (f->none.class != WHY_TEMP) {
		why_perm(&f->none, "5.4.4", text, name, type_name(type),
		    status == DNS_NXDOMAIN ? "Host not found"
					   : "Host found but no data record of requested type");
	}
}

static bool
ask(struct finder *f, struct server *server, const char *name, unsigned type,
    chan_reply_fn *on_reply)
{
	struct query *q = xcalloc(1, sizeof *q);
	struct msg_dns_query msg = {.name = str_from(name), .type = type};

	*q = (struct query){.finder = f, .server = server, .type = type, .next = f->queries};
	f->queries = q;
	if (f->resolver != NULL)
		q->id = chan_call(f->resolver, f->d->head.trace, MSG_DNS_QUERY, &msg, on_reply, q);
	if (q->id == 0) {
		note_none(f, name, type, DNS_FAILED);
		return false;
	}
	f->pending++;
	return true;
}

/* A question is answered, or its channel is gone. */
static void
answered(struct query *q)
{
	struct finder *f = q->finder;

	q->id = 0;
	if (--f->pending == 0)
		finish(f);
}

/* --- addresses --- */

static void
take_address(struct query *q, struct str data)
{
	struct server *server = q->server;
	int family = q->type == TYPE_AAAA ? 0 : 1;
	struct sockaddr_storage *sa;

	if (data.n != (family == 0 ? 16u : 4u) || server->n[family] == PER_SERVER_MAX)
		return;
	sa = &server->sa[family][server->n[family]++];
	sa->ss_family = family == 0 ? AF_INET6 : AF_INET;
	memcpy(family == 0 ? (void *)&((struct sockaddr_in6 *)sa)->sin6_addr
			   : (void *)&((struct sockaddr_in *)sa)->sin_addr,
	    data.p, data.n);
}

static void
on_address(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct query *q = arg;
	unsigned status = DNS_FAILED;

	if (msg != NULL && head->type == MSG_DNS_RECORD) {
		if (msg->dns_record.type == q->type)
			take_address(q, msg->dns_record.data);
		return;
	}
	if (msg == NULL)
		q->finder->resolver = NULL;
	else if (head->type == MSG_DNS_ANSWER)
		status = (unsigned)msg->dns_answer.status;
	if (status != DNS_OK)
		note_none(q->finder, q->server->name, q->type, status);
	answered(q);
}

static bool
uses(const struct remote *remote, const char *protocol)
{
	const struct setting_list *list = &remote->conf->common.inet_protocols;

	for (size_t i = 0; i < list->n; i++)
		if (strcasecmp(list->items[i], protocol) == 0 ||
		    strcasecmp(list->items[i], "all") == 0)
			return true;
	return false;
}

static void
ask_addresses(struct finder *f)
{
	for (size_t i = 0; i < f->nservers; i++) {
		struct server *server = &f->servers[i];
		struct sockaddr_storage sa;
		if (literal_parse(str_from(server->name), true, &sa)) {
			int family = sa.ss_family == AF_INET6 ? 0 : 1;
			server->sa[family][server->n[family]++] = sa;
			continue;
		}
		if (uses(f->d->remote, "ipv6"))
			ask(f, server, server->name, TYPE_AAAA, on_address);
		if (uses(f->d->remote, "ipv4"))
			ask(f, server, server->name, TYPE_A, on_address);
	}
	if (f->pending == 0)
		finish(f);
}

static void
add_server(struct finder *f, const char *name, unsigned preference)
{
	if (f->nservers == SERVERS_MAX)
		return;
	if (f->servers == NULL)
		f->servers = xcalloc(SERVERS_MAX, sizeof *f->servers);
	struct server *server = &f->servers[f->nservers++];
	server->preference = preference;
	server->order =
	    f->d->remote->conf->smtp_randomize_addresses ? arc4random() : (uint32_t)f->nservers;
	str_copy(server->name, sizeof server->name, str_from(name));
}

/* --- MX --- */

static int
by_preference(const void *a, const void *b)
{
	const struct server *x = a, *y = b;

	if (x->preference != y->preference)
		return x->preference < y->preference ? -1 : 1;
	return (x->order > y->order) - (x->order < y->order);
}

/* Cuts the list before this machine and its equals. */
static void
drop_ourselves(struct finder *f)
{
	const char *self = f->d->remote->conf->common.myhostname;
	size_t n = 0;

	for (size_t i = 0; i < f->nservers; i++) {
		if (strcasecmp(f->servers[i].name, self) != 0)
			continue;
		while (n < f->nservers && f->servers[n].preference < f->servers[i].preference)
			n++;
		f->nservers = n;
		if (n == 0)
			why_perm(
			    &f->none, "5.4.6", "mail for %s loops back to myself", f->d->hop.host);
		return;
	}
}

static void
take_mx(struct finder *f, const struct msg_dns_record *record)
{
	char name[ADDR_DOMAIN_MAX + 1];

	if (record->data.n == 0 || str_is(record->data, "."))
		f->null_mx = true;
	else if (domain_to_ascii(record->data, name, NULL) == 0)
		add_server(f, name, (unsigned)record->preference);
}

static void
mx_answered(struct finder *f, unsigned status)
{
	if (status == DNS_OK && f->nservers == 0 && f->null_mx) {
		why_perm(
		    &f->none, "5.1.10", "Domain %s does not accept mail (nullMX)", f->d->hop.host);
		return;
	}
	if (status == DNS_NODATA || (status == DNS_OK && f->nservers == 0))
		add_server(f, f->d->hop.host, 0); /* the implicit MX */
	else if (status != DNS_OK)
		note_none(f, f->d->hop.host, TYPE_MX, status);
	if (f->nservers == 0)
		return;
	qsort(f->servers, f->nservers, sizeof *f->servers, by_preference);
	drop_ourselves(f);
	ask_addresses(f);
}

static void
on_mx(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct query *q = arg;
	struct finder *f = q->finder;
	unsigned status = DNS_FAILED;

	if (msg != NULL && head->type == MSG_DNS_RECORD) {
		if (msg->dns_record.type == TYPE_MX)
			take_mx(f, &msg->dns_record);
		return;
	}
	if (msg == NULL)
		f->resolver = NULL;
	else if (head->type == MSG_DNS_ANSWER)
		status = (unsigned)msg->dns_answer.status;
	mx_answered(f, status);
	answered(q);
}

void
hosts_find(struct delivery *d)
{
	struct remote *remote = d->remote;
	struct finder *f = xcalloc(1, sizeof *f);
	struct timeval tv = clock_tv(remote->conf->smtp_dns_timeout);

	*f = (struct finder){
	    .d = d,
	    .resolver =
		service_peer(remote->service, PROGRAM_RESOLVER, map_hash(str_from(d->nexthop))),
	    .done = {.on_round_end = on_done, .arg = f},
	};
	d->finder = f;
	evtimer_assign(&f->ev_timer, remote->loop->base, on_timeout, f);
	if (evtimer_add(&f->ev_timer, &tv) == -1)
		fatal("no timer");
	if (d->hop.mx) {
		if (!ask(f, NULL, d->hop.host, TYPE_MX, on_mx))
			finish(f);
		return;
	}
	add_server(f, d->hop.host, 0);
	ask_addresses(f);
}

/* --- text --- */

void
address_numeric(const struct sockaddr_storage *sa, char out[static INET6_ADDRSTRLEN])
{
	const void *ip = sa->ss_family == AF_INET6
			     ? (const void *)&((const struct sockaddr_in6 *)sa)->sin6_addr
			     : (const void *)&((const struct sockaddr_in *)sa)->sin_addr;

	inet_ntop(sa->ss_family, ip, out, INET6_ADDRSTRLEN);
}

unsigned
address_port(const struct sockaddr_storage *sa)
{
	return ntohs(sa->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)sa)->sin6_port
					       : ((const struct sockaddr_in *)sa)->sin_port);
}
