/* SPDX-License-Identifier: ISC */
/*
 * Trust is explicit: a configuration that would let outsiders relay is refused, unless it says that
 * it means to. Asked are who counts as our own client, which domains we relay for, and what the
 * restriction lists make of it.
 */
#include "settings/all.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/why.h"
#include "lib/mail/networks.h"
#include "settings/relay.h"

struct trust {
	struct config *config;
	struct buf *errors;
	size_t faults;
};

static void fault(struct trust *t, const struct conf_place *place, const char *fmt, ...)
    KP_PRINTF(3, 4);

static void
fault(struct trust *t, const struct conf_place *place, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	t->faults++;
	(void)!buf_printf(t->errors, "%s:%u: %s\n", place->file != NULL ? place->file : "default",
	    place->line, text);
}

static const char *
value_of(struct trust *t, size_t service, const char *name, struct conf_place *place)
{
	return config_value(
	    t->config, service, config_row(t->config, service, str_from(name)), place);
}

static int
list_of(const char *value, struct setting_list *list)
{
	const struct setting row = {.name = "list", .type = SETTING_LIST};

	return setting_set(&row, list, str_from(value), NULL);
}

static void
list_free(struct setting_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->items[i]);
	free(list->items);
}

static void
check_networks(struct trust *t, size_t service, bool open_relay)
{
	struct conf_place place;
	struct setting_list list = {0};
	struct networks nets;
	struct why why;
	const char *value = value_of(t, service, "mynetworks", &place);

	if (list_of(value, &list) == -1)
		return; /* a fault that has been reported */
	if (networks_parse(&nets, &list, &why) == -1) {
		fault(t, &place, "mynetworks: %s", why.text);
	} else {
		if (networks_open(&nets) && !open_relay)
			fault(t, &place,
			    "mynetworks = %s makes service %s an open relay; if that is meant, say "
			    "\"open_relay = yes\"",
			    value, config_service_name(t->config, service));
		networks_clear(&nets);
	}
	list_free(&list);
}

/* A table that answers every key makes every domain one that we relay for. */
static void
check_relay_domains(struct trust *t, bool open_relay)
{
	struct conf_place place;
	struct setting_list list = {0};
	const char *value = value_of(t, 0, "relay_domains", &place);

	if (open_relay || list_of(value, &list) == -1)
		return;
	for (size_t i = 0; i < list.n; i++)
		if (strncmp(list.items[i], "static:", 7) == 0)
			fault(t, &place,
			    "relay_domains = %s holds every domain: an open relay; if that is "
			    "meant, say \"open_relay = yes\"",
			    value);
	list_free(&list);
}

/* A list that is malformed, or one that lets anybody send anywhere. */
static void
check_restrictions(struct trust *t, size_t service, bool open_relay)
{
	struct relay_lists lists;
	struct conf_place place;
	const char *setting;
	struct why why;

	if (relay_lists_parse(&lists, t->config, service, &setting, &why) == -1) {
		(void)value_of(t, service, setting, &place);
		fault(t, &place, "%s: %s", setting, why.text);
		return;
	}
	struct relay_answer a = relay_ask(&lists, CLIENT_OUTSIDE, TO_ELSEWHERE);
	if (a.outcome == RELAY_PASSES && !open_relay) {
		(void)value_of(t, service, "smtpd_relay_restrictions", &place);
		fault(t, &place,
		    "the restrictions of service %s let anybody send anywhere (%s): an open relay; "
		    "if that is meant, say \"open_relay = yes\"",
		    config_service_name(t->config, service), a.by);
	}
	relay_lists_clear(&lists);
}

size_t
settings_check_trust(struct config *config, struct buf *errors)
{
	struct trust t = {.config = config, .errors = errors};
	bool open_relay = strcmp(value_of(&t, 0, "open_relay", NULL), "yes") == 0;

	for (size_t i = 1; i <= config_services(config); i++)
		if (strcmp(config_service_program(config, i), "smtpd") == 0) {
			check_networks(&t, i, open_relay);
			check_restrictions(&t, i, open_relay);
		}
	check_relay_domains(&t, open_relay);
	return t.faults;
}
