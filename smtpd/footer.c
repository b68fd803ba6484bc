/* SPDX-License-Identifier: ISC */
#include "smtpd/footer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/mail/template.h"
#include "smtpd/routes.h"
#include "smtpd/session.h"

enum { LINES_MAX = 4000 };

static const char line_end[] = "\\n"; /* as it stands in the setting */
static const char same_line[] = "\\c";

static const char *
value(void *arg, struct str name, char *room, size_t size)
{
	const struct session *s = arg;
	time_t now = (time_t)(wall_us() / 1000000);
	struct tm tm;

	room[0] = '\0';
	if (str_is(name, "client"))
		snprintf(room, size, "%s[%s]", s->client_name, s->client_addr);
	else if (str_is(name, "client_name"))
		snprintf(room, size, "%s", s->client_name);
	else if (str_is(name, "client_address"))
		snprintf(room, size, "%s", s->client_addr);
	else if (str_is(name, "client_port"))
		snprintf(room, size, "%u", s->client_port);
	else if (str_is(name, "helo_name"))
		snprintf(room, size, "%s", s->helo != NULL ? s->helo : "");
	else if (str_is(name, "localtime"))
		strftime(room, size, "%b %d %H:%M:%S", localtime_r(&now, &tm));
	else if (str_is(name, "server_name"))
		snprintf(room, size, "%s", s->server->conf->common.myhostname);
	else if (str_is(name, "sender") && s->tx != NULL)
		snprintf(room, size, "%.*s", STR_ARG(addr_text(&s->tx->sender)));
	else if (str_is(name, "recipient") && s->tx != NULL && s->tx->pending.original != NULL)
		snprintf(room, size, "%s", s->tx->pending.original);
	return room;
}

void
footer_reply(struct session *s, int smtp, const char *code, const char *text)
{
	const char *footer = s->server->conf->smtpd_reject_footer;
	bool joined = strncmp(footer, same_line, sizeof same_line - 1) == 0;
	struct buf lines = {.max = LINES_MAX};
	char *line, *next;

	(void)!buf_puts(&lines, text); /* what is over is cut */
	(void)!buf_puts(&lines, joined ? "" : line_end);
	template_expand(
	    str_from(joined ? footer + sizeof same_line - 1 : footer), value, s, &lines);
	char *all = buf_steal(&lines);
	for (line = all; (next = strstr(line, line_end)) != NULL; line = next + strlen(line_end)) {
		*next = '\0';
		session_reply_more(
		    s, smtp, "%s%s%s", code != NULL ? code : "", code != NULL ? " " : "", line);
	}
	session_reply_last(s, smtp, code, line);
	free(all);
}
