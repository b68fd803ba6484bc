/* SPDX-License-Identifier: ISC */
/*
 * libunbound's contexts. All options come before the first zone or question, which finalise a
 * context; a changed server list therefore needs a new one. Logging of the library is off: what
 * fails is said in the answer.
 */
#include "resolver/upstream.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unbound-event.h>
#include <unbound.h>

#include "lib/base/buf.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"

enum { ANCHORS_SIZE_MAX = 1024 * 1024, SERVERS_MAX = 16 };

static void
anchor_add(struct anchors *a, struct str line)
{
	ptrdiff_t comment = str_chr(line, ';');

	line = str_trim(comment < 0 ? line : str_sub(line, 0, (size_t)comment));
	if (line.n == 0 || line.p[0] == '#')
		return;
	a->lines = xrealloc(a->lines, size_mul(a->n + 1, sizeof *a->lines));
	a->lines[a->n++] = str_dup(line);
}

int
anchors_read(struct anchors *a, const struct setting_list *files, struct why *why)
{
	struct buf text;

	*a = (struct anchors){0};
	for (size_t i = 0; i < files->n; i++) {
		struct str line;
		buf_init(&text, ANCHORS_SIZE_MAX);
		if (file_read(AT_FDCWD, files->items[i], &text, why) == -1) {
			buf_free(&text);
			return -1;
		}
		struct str rest = buf_view(&text);
		while (str_word(&rest, "\r\n", &line))
			anchor_add(a, line);
		buf_free(&text);
	}
	return 0;
}

bool
resolv_conf_next(struct str *rest, struct str *address)
{
	struct str line, word;

	while (str_word(rest, "\n", &line)) {
		ptrdiff_t comment = str_chr(line, '#');
		if (comment >= 0)
			line = str_sub(line, 0, (size_t)comment);
		if (str_word(&line, " \t\r", &word) && str_is(word, "nameserver") &&
		    str_word(&line, " \t\r", address))
			return true;
	}
	return false;
}

static const struct {
	const char *name, *value;
} options[] = {
    {"do-not-query-localhost:", "no"   },
    {"outbound-msg-retry:",     "5"    },
    {"infra-cache-max-rtt:",    "10000"},
    {"unblock-lan-zones:",      "yes"  },
    {"insecure-lan-zones:",     "yes"  },
    {"harden-below-nxdomain:",  "yes"  },
    {"use-caps-for-id:",        "no"   },
    {"verbosity:",              "0"    },
};

static int
option_set(struct ub_ctx *ctx, const char *name, const char *value, struct why *why)
{
	int rc = ub_ctx_set_option(ctx, name, value);

	return rc == 0 ? 0
		       : why_perm(why, NULL, "DNS option %s %s: %s", name, value, ub_strerror(rc));
}

static int
options_set(struct ub_ctx *ctx, const struct resolver_conf *conf, struct why *why)
{
	char size[32];

	for (size_t i = 0; i < NELEM(options); i++)
		if (option_set(ctx, options[i].name, options[i].value, why) == -1)
			return -1;
	snprintf(size, sizeof size, "%lld", (long long)conf->dns_cache_size / 3);
	if (option_set(ctx, "msg-cache-size:", size, why) == -1)
		return -1;
	snprintf(size, sizeof size, "%lld", (long long)conf->dns_cache_size / 3 * 2);
	return option_set(ctx, "rrset-cache-size:", size, why);
}

static int
anchors_set(struct ub_ctx *ctx, const struct anchors *anchors, struct why *why)
{
	for (size_t i = 0; i < anchors->n; i++)
		if (ub_ctx_add_ta(ctx, anchors->lines[i]) != 0)
			return why_perm(why, NULL,
			    "dns_trust_anchor: \"%s\" is not a DS or DNSKEY record",
			    anchors->lines[i]);
	return 0;
}

static int
forward(struct ub_ctx *ctx, struct str address, struct why *why)
{
	char *text = str_dup(address);
	int rc = ub_ctx_set_fwd(ctx, text);

	if (rc != 0)
		why_perm(
		    why, NULL, "\"%s\" is not a DNS server's address: %s", text, ub_strerror(rc));
	free(text);
	return rc == 0 ? 0 : -1;
}

/* Configured servers, else those of resolv.conf; their number, or -1. A line of resolv.conf that is
 * wrong is passed over. */
static int
servers_set(
    struct ub_ctx *ctx, const struct resolver_conf *conf, struct str resolv_conf, struct why *why)
{
	struct str address;
	int n = 0;

	for (size_t i = 0; i < conf->dns_servers.n; i++, n++)
		if (forward(ctx, str_from(conf->dns_servers.items[i]), why) == -1)
			return -1;
	while (
	    conf->dns_servers.n == 0 && n < SERVERS_MAX && resolv_conf_next(&resolv_conf, &address))
		n += forward(ctx, address, NULL) == 0;
	return n;
}

/* The library answers "test." by itself, as empty; mail of a test network is to be asked for like
 * any other. */
static int
zones_set(struct ub_ctx *ctx, struct why *why)
{
	return ub_ctx_zone_add(ctx, "test.", "transparent") == 0
		   ? 0
		   : why_temp(why, NULL, "the DNS library failed to start");
}

struct upstream *
upstream_new(struct event_base *base, const struct resolver_conf *conf,
    const struct anchors *anchors, struct str resolv_conf, struct why *why)
{
	struct upstream *up = xcalloc(1, sizeof *up);

	up->ctx = ub_ctx_create_event(base);
	if (up->ctx == NULL) {
		why_temp(why, NULL, "the DNS library failed to start");
		goto fail;
	}
	if (options_set(up->ctx, conf, why) == -1 || anchors_set(up->ctx, anchors, why) == -1)
		goto fail;
	if (!conf->dns_recursion) {
		int servers = servers_set(up->ctx, conf, resolv_conf, why);
		if (servers == -1)
			goto fail;
		if (servers == 0) {
			ub_ctx_delete(up->ctx);
			up->ctx = NULL;
			return up;
		}
	}
	if (zones_set(up->ctx, why) == -1)
		goto fail;
	return up;
fail:
	upstream_free(&up);
	return NULL;
}

void
upstream_free(struct upstream **up)
{
	if (*up == NULL)
		return;
	if ((*up)->ctx != NULL)
		ub_ctx_delete((*up)->ctx);
	free(*up);
	*up = NULL;
}
