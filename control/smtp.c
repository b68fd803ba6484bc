/* SPDX-License-Identifier: ISC */
/* smtp test: what smtpd would say to a client, rule by rule. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "control/kingpost.h"
#include "lib/base/why.h"

enum { ARGUMENT_MAX = 4096 };

static void
print_line(void *arg, enum msg_type type, union msg_any *msg)
{
	(void)arg;
	if (type == MSG_CONTROL_TEXT)
		printf("%.*s\n", STR_ARG(msg->control_text.text));
}

/* "--client 192.0.2.1" becomes a line "client=192.0.2.1". */
static int
parse(int argc, char **argv, struct buf *out, const char **service)
{
	static const struct option options[] = {
	    {"client",      required_argument, NULL, 0},
	    {"helo",        required_argument, NULL, 0},
	    {"from",        required_argument, NULL, 0},
	    {"to",          required_argument, NULL, 0},
	    {"client-name", required_argument, NULL, 0},
	    {"sasl",        required_argument, NULL, 0},
	    {"service",     required_argument, NULL, 1},
	    {NULL,          0,                 NULL, 0},
	};
	int which, c;

	while ((c = getopt_long(argc, argv, "", options, &which)) != -1) {
		if (c == 1)
			*service = optarg;
		else if (c != 0 || strchr(optarg, '\n') != NULL ||
			 buf_printf(out, "%s=%s\n", options[which].name, optarg) == -1)
			return -1;
	}
	return optind == argc && out->n > 0 ? 0 : -1;
}

/* 0 where the mail would be taken, 1 where it would be refused. */
int
cmd_smtp_test(struct kingpost *k, int argc, char **argv)
{
	struct buf argument = {.max = ARGUMENT_MAX};
	const char *service = "smtpd";
	uint64_t refused = 0;
	struct why why;
	int status = EX_USAGE;

	if (parse(argc, argv, &argument, &service) == 0) {
		struct chan_client *c = client_program(k, service, &why);
		struct msg_explain request = {.what = STR("smtp"), .argument = buf_view(&argument)};
		if (c == NULL ||
		    client_ask(c, MSG_EXPLAIN, &request, print_line, NULL, &refused, &why) == -1) {
			complain("%s", why.text);
			status = exit_status(&why);
		} else {
			status = refused > 0 ? 1 : EX_OK;
		}
		chan_client_free(&c);
	}
	buf_free(&argument);
	return status;
}
