/* SPDX-License-Identifier: ISC */
/*
 * Failures are counted by address, network and account within auth_failure_window. Each failure of
 * an address doubles the delay of its next answer; too many make a block for block_time. An account
 * is never blocked for an address from which it has logged in lately, but by the operator: else
 * anybody could lock a user out.
 */
#include "limiter/blocks.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/log/log.h"
#include "lib/mail/networks.h"
#include "limiter/counters.h"
#include "limiter/facts.h"
#include "limiter/limiter.h"

#define BLOCK "block"
#define GOOD "login-from"

static bool
network_of(const struct limiter *l, struct str address, char *out, size_t size)
{
	return networks_key(address, (unsigned)l->conf->block_ipv4_prefix_length,
	    (unsigned)l->conf->block_ipv6_prefix_length, out, size);
}

/* "address 192.0.2.1": the key of a block. */
static struct str
block_key(char *room, size_t size, struct str what, struct str key)
{
	int n = snprintf(room, size, "%.*s %.*s", STR_ARG(what), STR_ARG(key));

	return str_make(room, (size_t)n < size ? (size_t)n : size - 1);
}

static struct str
good_key(char *room, size_t size, struct str address, struct str login)
{
	return block_key(room, size, address, login);
}

/* A block that `least` or a stronger one has set. */
static bool
look(struct limiter *l, enum block_by least, struct str what, struct str key,
    struct block_state *out)
{
	char room[600];
	const struct fact *fact =
	    facts_get(l->facts, STR(BLOCK), block_key(room, sizeof room, what, key));

	if (fact == NULL || fact->count < (uint64_t)least)
		return false;
	out->blocked = true;
	out->left_ms = fact->expires * 1000 - wall_us() / 1000;
	snprintf(out->reason, sizeof out->reason, "%s", fact->text);
	return true;
}

static int64_t
delay_after(const struct limiter *l, uint64_t failures)
{
	int64_t delay = l->conf->auth_failure_delay;

	if (failures == 0)
		return 0;
	for (uint64_t i = 1; i < failures && delay < l->conf->auth_failure_delay_max; i++)
		delay *= 2;
	return delay < l->conf->auth_failure_delay_max ? delay : l->conf->auth_failure_delay_max;
}

void
blocks_find(struct limiter *l, struct str address, struct str login, struct block_state *out)
{
	char network[80], room[600];
	bool known = login.n > 0 && facts_get(l->facts, STR(GOOD),
					good_key(room, sizeof room, address, login)) != NULL;

	*out = (struct block_state){0};
	if (address.n > 0 && look(l, BLOCK_BY_RULE, STR("address"), address, out))
		return;
	if (address.n > 0 && network_of(l, address, network, sizeof network) &&
	    look(l, BLOCK_BY_RULE, STR("network"), str_from(network), out))
		return;
	if (login.n > 0 &&
	    look(l, known ? BLOCK_BY_OPERATOR : BLOCK_BY_RULE, STR("login"), login, out))
		return;
	out->delay_ms = delay_after(l, counters_add(l->counters, STR("auth-address"), address, 0,
					   l->conf->auth_failure_window));
}

bool
blocks_set(struct limiter *l, enum block_by by, struct str what, struct str key, struct str reason)
{
	char room[600];
	struct str name = block_key(room, sizeof room, what, key);

	const struct fact *fact = facts_get(l->facts, STR(BLOCK), name);

	if (fact != NULL && fact->count >= (uint64_t)by)
		return false;
	(void)facts_put(l->facts, STR(BLOCK), name, l->conf->block_time / 1000, by, reason);
	log_warning("blocked: %.*s for %llds: %.*s", STR_ARG(name),
	    (long long)(l->conf->block_time / 1000), STR_ARG(reason));
	return true;
}

static void
count_failure(struct limiter *l, const char *kind, struct str what, struct str key, int64_t limit)
{
	char reason[128];
	uint64_t n =
	    counters_add(l->counters, str_from(kind), key, 1, l->conf->auth_failure_window);

	if (limit == 0 || n < (uint64_t)limit)
		return;
	snprintf(reason, sizeof reason, "%llu failed logins", (unsigned long long)n);
	(void)blocks_set(l, BLOCK_BY_RULE, what, key, str_from(reason));
}

void
blocks_result(struct limiter *l, struct str address, struct str login, bool passed)
{
	const struct limiter_conf *conf = l->conf;
	char network[80], room[600];

	if (passed) {
		(void)facts_put(l->facts, STR(GOOD), good_key(room, sizeof room, address, login),
		    conf->auth_known_time / 1000, 1, STR_EMPTY);
		return;
	}
	count_failure(l, "auth-address", STR("address"), address, conf->auth_block_address_limit);
	if (network_of(l, address, network, sizeof network))
		count_failure(l, "auth-network", STR("network"), str_from(network),
		    conf->auth_block_network_limit);
	if (login.n > 0)
		count_failure(l, "auth-login", STR("login"), login, conf->auth_block_login_limit);
}
