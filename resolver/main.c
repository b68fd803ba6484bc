/* SPDX-License-Identifier: ISC */
/*
 * resolver: the only program that speaks DNS. MX, A, AAAA, PTR, TXT, TLSA and CNAME, validated
 * where trust anchors are configured.
 *
 * Privilege: kp-resolver in an empty root directory. Trusted: the configuration, resolv.conf, the
 * hosts file. Hostile: names that are asked for, and every packet from the network (libunbound
 * matches and validates, answer.c reads).
 */
#include <event2/event.h>
#include <stdlib.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/log/log.h"
#include "lib/sandbox/sandbox.h"
#include "lib/service/service.h"
#include "resolver/hosts.h"
#include "resolver/question.h"
#include "resolver/resolver.h"

enum { WATCH_MS = 1000, TEXT_MAX = 4 * 1024 * 1024 };

static void
hosts_load(struct resolver *r)
{
	struct buf text;

	buf_init(&text, TEXT_MAX);
	source_read(&r->hosts_file, &text);
	hosts_free(&r->hosts);
	r->hosts = hosts_new(buf_view(&text));
	buf_free(&text);
}

/* A list that cannot be used leaves the old one; questions under way end where they began. */
static int
upstream_load(struct resolver *r, struct why *why)
{
	struct buf text;

	buf_init(&text, TEXT_MAX);
	source_read(&r->resolv_conf, &text);
	struct upstream *fresh =
	    upstream_new(r->s->loop.base, r->conf, &r->anchors, buf_view(&text), why);
	buf_free(&text);
	if (fresh == NULL)
		return -1;
	if (r->upstream != NULL)
		TAILQ_INSERT_TAIL(&r->old, r->upstream, link);
	r->upstream = fresh;
	loop_defer(&r->s->loop, &r->sweep);
	return 0;
}

static void
on_sweep(void *arg)
{
	struct resolver *r = arg;
	struct upstream *up, *next;

	for (up = TAILQ_FIRST(&r->old); up != NULL; up = next) {
		next = TAILQ_NEXT(up, link);
		if (up->in_flight > 0)
			continue;
		TAILQ_REMOVE(&r->old, up, link);
		upstream_free(&up);
	}
}

static void
on_watch(KP_UNUSED evutil_socket_t fd, KP_UNUSED short what, void *arg)
{
	struct resolver *r = arg;
	struct why why;

	if (source_changed(&r->hosts_file))
		hosts_load(r);
	if (!source_changed(&r->resolv_conf) || r->conf->dns_servers.n > 0 ||
	    r->conf->dns_recursion)
		return;
	if (upstream_load(r, &why) == -1)
		log_warning("%s/%s: %s", r->resolv_conf.folder, r->resolv_conf.name, why.text);
	else
		log_info("%s/%s has changed", r->resolv_conf.folder, r->resolv_conf.name);
}

static int
resolver_open(struct service *s, struct why *why)
{
	struct resolver *r = xcalloc(1, sizeof *r);

	r->s = s;
	r->conf = s->conf;
	r->sweep = (struct loop_task){.on_round_end = on_sweep, .arg = r};
	TAILQ_INIT(&r->old);
	TAILQ_INIT(&r->questions);
	s->state = r;
	source_open(&r->resolv_conf, r->conf->dns_resolv_conf);
	source_open(&r->hosts_file, r->conf->dns_hosts_file);
	r->paths = xcalloc(3, sizeof *r->paths);
	r->paths[0] = (struct sandbox_path){r->resolv_conf.folder, SANDBOX_READ};
	r->paths[1] = (struct sandbox_path){r->hosts_file.folder, SANDBOX_READ};
	s->paths = r->paths;
	return anchors_read(&r->anchors, &r->conf->dns_trust_anchor, why);
}

static int
resolver_start(struct service *s, struct why *why)
{
	struct resolver *r = s->state;
	struct timeval every = clock_tv(WATCH_MS);

	(void)source_changed(&r->resolv_conf); /* both are read now, changed or not */
	(void)source_changed(&r->hosts_file);
	hosts_load(r);
	r->timer = event_new(s->loop.base, -1, EV_PERSIST, on_watch, r);
	if (r->timer == NULL || event_add(r->timer, &every) == -1)
		fatal("no timer");
	return upstream_load(r, why);
}

static void
on_partner_gone(struct service *s, struct chan *ch)
{
	questions_drop(s->state, ch);
}

static const struct service_peer peers[] = {
    {PROGRAM_SMTPD,    question_rules, NULL, on_partner_gone},
    {PROGRAM_ROUTER,            question_rules, NULL, on_partner_gone},
    {PROGRAM_QMGR,                question_rules, NULL, on_partner_gone},
    {PROGRAM_REMOTE,question_rules, NULL, on_partner_gone},
    {PROGRAM_NONE},
};

static const struct service_table table = {
    .program = PROGRAM_RESOLVER,
    .tag = "resolver",
    .settings = &resolver_settings,
    .sandbox = &resolver_sandbox,
    .peers = peers,
    .open = resolver_open,
    .start = resolver_start,
};

int
main(int argc, char **argv)
{
	return service_main(argc, argv, &table);
}
