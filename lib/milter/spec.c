/* SPDX-License-Identifier: ISC */
/* Milters as settings write them. */
#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/conf/setting.h"
#include "lib/milter/milter.h"

const char *const milter_default_words[] = {"tempfail", "accept", "reject", "quarantine", NULL};

const char *const milter_macros[MILTER_EVENTS] = {
    [MILTER_CONNECT] =
	"j {daemon_name} {daemon_addr} {client_addr} {client_name} {client_port} {client_ptr} v _",
    [MILTER_HELO] = "{tls_version} {cipher} {cipher_bits} {cert_subject} {cert_issuer}",
    [MILTER_MAIL] =
	"i {auth_type} {auth_authen} {auth_author} {mail_addr} {mail_host} {mail_mailer}",
    [MILTER_RCPT] = "i {rcpt_addr} {rcpt_host} {rcpt_mailer}",
    [MILTER_DATA] = "i",
    [MILTER_CONTENT] = "",
};
const char *const milter_eoh_macros = "i";
const char *const milter_eom_macros = "i";

static const struct setting rows[] = {
    SETTING_TIME_ROW(milter_times, connect_ms, "0", 1, 3600 * 1000, ""),
    SETTING_TIME_ROW(milter_times, command_ms, "0", 1, 3600 * 1000, ""),
    SETTING_TIME_ROW(milter_times, content_ms, "0", 1, 3600 * 1000, ""),
    SETTING_WORD_ROW(milter_times, action, "", milter_default_words, ""),
};
static const char *const names[] = {
    "connect_timeout", "command_timeout", "content_timeout", "default_action"};

static int
set_option(struct milter_spec *spec, struct str option, struct why *why)
{
	ptrdiff_t eq = str_chr(option, '=');
	struct why wrong;

	for (size_t i = 0; eq > 0 && i < NELEM(rows); i++) {
		if (!str_is(str_trim(str_sub(option, 0, (size_t)eq)), names[i]))
			continue;
		struct str value = str_trim(str_from_at(option, (size_t)eq + 1));
		if (setting_set(&rows[i], &spec->times, value, &wrong) == 0)
			return 0;
		return why_perm(why, NULL, "%s: %s", names[i], wrong.text);
	}
	return why_perm(why, NULL,
	    "%.*s: expected connect_timeout, command_timeout, content_timeout or default_action",
	    STR_ARG(option));
}

static int
set_target(struct milter_spec *spec, struct str target, struct why *why)
{
	ptrdiff_t at = str_chr(target, '@');

	if (str_starts(target, STR("local:")))
		spec->target = xasprintf("unix:%.*s", STR_ARG(str_from_at(target, 6)));
	else if (str_starts(target, STR("inet:")) && at > 0) /* inet:port@host, as Sendmail */
		spec->target =
		    xasprintf("inet:%.*s:%.*s", STR_ARG(str_from_at(target, (size_t)at + 1)),
			STR_ARG(str_sub(target, 5, (size_t)at - 5)));
	else if (str_starts(target, STR("inet:")) || str_starts(target, STR("unix:")))
		spec->target = str_dup(target);
	else
		return why_perm(
		    why, NULL, "%.*s: expected inet:ADDRESS:PORT or unix:PATH", STR_ARG(target));
	return 0;
}

static int
parse(struct milter_spec *spec, struct str text, struct why *why)
{
	struct str word;
	bool first = true;

	text = str_trim(text);
	if (str_starts(text, STR("{")) && str_ends(text, STR("}")))
		text = str_trim(str_sub(text, 1, text.n - 2));
	while (str_word(&text, ",", &word)) {
		word = str_trim(word);
		if (word.n == 0)
			continue;
		if ((first ? set_target : set_option)(spec, word, why) == -1)
			return -1;
		first = false;
	}
	return first ? why_perm(why, NULL, "expected a milter's address") : 0;
}

int
milter_list_parse(struct milter_list *list, const struct setting_list *items,
    const struct milter_times *defaults, struct why *why)
{
	*list = (struct milter_list){.specs = xcalloc(items->n + 1, sizeof *list->specs)};
	for (size_t i = 0; i < items->n; i++) {
		list->specs[i].times = *defaults;
		list->n = i + 1;
		if (parse(&list->specs[i], str_from(items->items[i]), why) == -1) {
			milter_list_clear(list);
			return -1;
		}
	}
	return 0;
}

void
milter_list_clear(struct milter_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->specs[i].target);
	free(list->specs);
	*list = (struct milter_list){0};
}
