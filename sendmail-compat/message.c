/* SPDX-License-Identifier: ISC */
/*
 * The message and its envelope, from the options and standard input. Privilege: the caller's.
 * Recipients of -t come from To, Cc and Bcc, or from their Resent- forms where there are any (RFC
 * 5322 3.6.6), and those of the command line are added, as Postfix does. Bcc itself is removed by
 * cleanup.
 */
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/mail/address.h"
#include "lib/mail/header.h"
#include "sendmail-compat/sendmail.h"

enum { CONTENT_MAX = 1024 * 1024 * 1024, RECIPIENTS_MAX = 100000, ORIGIN_MAX = 3000 };

static int
add_recipient(struct message *m, const struct addr *a, struct why *why)
{
	if (m->nrecipients >= RECIPIENTS_MAX)
		return why_perm(why, "5.5.3", "more than %d recipients", RECIPIENTS_MAX);
	for (size_t i = 0; m->nrecipients < 1000 && i < m->nrecipients; i++)
		if (str_is(addr_text(a), m->recipients[i]))
			return 0;
	m->recipients = xrealloc(m->recipients, (m->nrecipients + 1) * sizeof *m->recipients);
	m->recipients[m->nrecipients++] = str_dup(addr_text(a));
	return 0;
}

static int
add_list(struct message *m, struct str text, const char *where, struct why *why)
{
	struct addr_list list;
	struct addr a;
	struct why inner;
	int more;

	addr_list_init(&list, text, ADDR_UTF8 | ADDR_NO_DOMAIN);
	while ((more = addr_list_next(&list, &a, &inner)) == 1)
		if (!addr_is_null(&a) && add_recipient(m, &a, why) == -1)
			return -1;
	if (more == -1)
		return why_perm(why, "5.1.3", "%s: %s", where, inner.text);
	return 0;
}

static bool
is_recipient_field(struct str name, bool resent)
{
	static const char *const names[] = {"To", "Cc", "Bcc"};

	if (resent != str_casestarts(name, STR("Resent-")))
		return false;
	if (resent)
		name = str_from_at(name, strlen("Resent-"));
	for (size_t i = 0; i < NELEM(names); i++)
		if (str_caseis(name, names[i]))
			return true;
	return false;
}

static bool
is_resent(struct str content)
{
	struct header_field f;

	for (size_t offset = 0; header_next(content, &offset, &f);)
		if (is_recipient_field(f.name, true))
			return true;
	return false;
}

static int
recipients_from_header(struct message *m, struct why *why)
{
	struct str content = buf_view(&m->content);
	struct header_field f;
	bool resent = is_resent(content);

	for (size_t offset = 0; header_next(content, &offset, &f);) {
		if (!is_recipient_field(f.name, resent))
			continue;
		char *name = str_dup(f.name);
		int result = add_list(m, f.value, name, why);
		free(name);
		if (result == -1)
			return -1;
	}
	return 0;
}

static int
recipients_from_arguments(struct message *m, struct why *why)
{
	for (int i = 0; i < m->o->nrecipients; i++)
		if (add_list(m, str_from(m->o->recipients[i]), "recipient", why) == -1)
			return -1;
	return 0;
}

/* The envelope sender: -f, which may be empty or <>; else the caller's login name, completed with
 * myorigin further on. */
static int
find_sender(struct message *m, struct why *why)
{
	struct addr_list list;
	struct addr a;
	struct passwd *pw;
	struct why inner;

	if (m->o->sender == NULL) {
		pw = getpwuid(getuid());
		m->sender =
		    pw != NULL ? xstrdup(pw->pw_name) : xasprintf("uid%u", (unsigned)getuid());
		return 0;
	}
	struct str text = str_trim(str_from(m->o->sender));
	if (text.n == 0 || str_is(text, "<>")) {
		m->sender = xstrdup("");
		return 0;
	}
	addr_list_init(&list, text, ADDR_UTF8 | ADDR_NO_DOMAIN);
	if (addr_list_next(&list, &a, &inner) != 1)
		return why_perm(why, "5.1.7", "sender \"%s\": malformed address", m->o->sender);
	m->sender = str_dup(addr_text(&a));
	return 0;
}

static char *
make_origin(char **argv)
{
	struct buf out = {.max = ORIGIN_MAX};
	char *folder = getcwd(NULL, 0);

	/* Where it does not fit it is cut: a note for people. */
	(void)!buf_puts(&out, "cmd=");
	for (int i = 0; i < 64 && argv[i] != NULL; i++)
		(void)!buf_printf(&out, "%s%.200s", i > 0 ? " " : "", argv[i]);
	(void)!buf_printf(&out, " cwd=%s", folder != NULL ? folder : "?");
	free(folder);
	return buf_steal(&out);
}

int
message_make(struct message *m, struct options *o, char **argv, struct why *why)
{
	*m = (struct message){.o = o};
	buf_init(&m->content, CONTENT_MAX);
	m->origin = make_origin(argv);
	if (find_sender(m, why) == -1 || recipients_from_arguments(m, why) == -1)
		return -1;
	if (!o->from_headers && m->nrecipients == 0)
		return why_perm(why, "5.5.4",
		    "Recipient addresses must be specified on the command line or via the -t "
		    "option");
	if (input_read(&m->content, o->ignore_dots, STDIN_FILENO, why) == -1)
		return -1;
	if (o->from_headers && recipients_from_header(m, why) == -1)
		return -1;
	if (m->nrecipients == 0)
		return why_perm(why, "5.5.4", "No recipient addresses found in message header");
	return 0;
}

void
message_clear(struct message *m)
{
	for (size_t i = 0; i < m->nrecipients; i++)
		free(m->recipients[i]);
	free(m->recipients);
	free(m->sender);
	free(m->origin);
	buf_free(&m->content);
}
