/* SPDX-License-Identifier: ISC */
/* check --relay: who may send to whom, by which rule, read off the configuration. */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "control/kingpost.h"
#include "lib/base/why.h"
#include "settings/relay.h"

static void
print_one(const struct relay_lists *lists, enum relay_client client, enum relay_rcpt rcpt,
    const char *who)
{
	static const char *const words[] = {
	    [RELAY_PASSES] = "yes", [RELAY_DEPENDS] = "depends", [RELAY_REFUSED] = "no"};
	struct relay_answer a = relay_ask(lists, client, rcpt);

	printf("  %-34s %-26s %-8s %s\n", who, relay_rcpt_name(rcpt), words[a.outcome], a.by);
}

static int
print_service(struct config *config, size_t service)
{
	const struct setting *row = config_row(config, service, STR("mynetworks"));
	const char *networks = config_value(config, service, row, NULL);
	struct relay_lists lists;
	const char *setting;
	struct why why;

	if (relay_lists_parse(&lists, config, service, &setting, &why) == -1) {
		complain("%s: %s", setting, why.text);
		return -1;
	}
	printf("service %s (mynetworks = %s)\n  %-34s %-26s %-8s %s\n",
	    config_service_name(config, service), networks, "client", "recipient in", "accepted",
	    "by");
	for (enum relay_client c = CLIENT_OUTSIDE; c < CLIENT_KINDS; c++)
		for (enum relay_rcpt r = TO_LOCAL; r < TO_KINDS; r++)
			print_one(&lists, c, r, relay_client_name(c));
	relay_lists_clear(&lists);
	return 0;
}

int
check_relay(struct kingpost *k)
{
	struct config *config = load_config(k);
	int status = EX_OK;

	if (config == NULL)
		return EX_CONFIG;
	for (size_t i = 1; i <= config_services(config); i++)
		if (strcmp(config_service_program(config, i), "smtpd") == 0 &&
		    print_service(config, i) == -1)
			status = EX_CONFIG;
	config_free(&config);
	return status;
}
