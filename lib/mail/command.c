/* SPDX-License-Identifier: ISC */
/* RFC 5321 4.1.1.2, 4.1.1.3; 1870, 6152, 6531, 8689, 3461 for the parameters. */
#include "lib/mail/command.h"

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/mail/esmtp.h"
#include "lib/msg/fields.h"

int
command_mail(const struct command_mail *m, struct buf *out)
{
	static const char *const rets[] = {
	    [RET_NONE] = "", [RET_FULL] = " RET=FULL", [RET_HDRS] = " RET=HDRS"};
	bool dsn = (m->offered & ESMTP_DSN) != 0;
	int rc = buf_printf(out, "MAIL FROM:<%.*s>", STR_ARG(m->sender));

	if (rc == 0 && (m->offered & ESMTP_SIZE) != 0)
		rc = buf_printf(out, " SIZE=%llu", (unsigned long long)m->size);
	if (rc == 0 && (m->offered & ESMTP_8BITMIME) != 0 && m->body_8bit)
		rc = buf_puts(out, " BODY=8BITMIME");
	if (rc == 0 && m->smtputf8)
		rc = buf_puts(out, " SMTPUTF8");
	if (rc == 0 && m->requiretls)
		rc = buf_puts(out, " REQUIRETLS");
	if (rc == 0 && dsn && m->ret < NELEM(rets))
		rc = buf_puts(out, rets[m->ret]);
	if (rc == 0 && dsn && m->envid != NULL && m->envid[0] != '\0')
		rc = buf_printf(out, " ENVID=%s", m->envid);
	return rc;
}

static int
put_notify(struct buf *out, unsigned notify)
{
	static const struct {
		unsigned bit;
		const char *word;
	} words[] = {
	    {NOTIFY_NEVER,   "NEVER"  },
	    {NOTIFY_SUCCESS, "SUCCESS"},
	    {NOTIFY_FAILURE, "FAILURE"},
	    {NOTIFY_DELAY,   "DELAY"  },
	};
	const char *before = " NOTIFY=";

	for (size_t i = 0; i < NELEM(words); i++) {
		if ((notify & words[i].bit) == 0)
			continue;
		if (buf_printf(out, "%s%s", before, words[i].word) == -1)
			return -1;
		before = ",";
	}
	return 0;
}

static int
put_orcpt(const struct command_rcpt *r, struct buf *out)
{
	if (r->orcpt != NULL && r->orcpt[0] != '\0')
		return buf_printf(out, " ORCPT=%s", r->orcpt);
	if (r->original == NULL || r->notify == NOTIFY_DEFAULT || r->notify == NOTIFY_NEVER ||
	    !str_ascii(str_from(r->original)))
		return 0;
	return buf_puts(out, " ORCPT=rfc822;") == -1 ? -1
						     : xtext_encode(str_from(r->original), out);
}

int
command_rcpt(const struct command_rcpt *r, struct buf *out)
{
	int rc = buf_printf(out, "RCPT TO:<%.*s>", STR_ARG(r->address));

	if (rc == -1 || (r->offered & ESMTP_DSN) == 0)
		return rc;
	return put_notify(out, r->notify) == -1 ? -1 : put_orcpt(r, out);
}
