/* SPDX-License-Identifier: ISC */
/* The notification's text: its parts, and what may not get into it. */
#include <stdlib.h>
#include <string.h>

#include "bounce/bounce.h"
#include "tests/unit/test.h"

static struct bounce_conf conf = {
    .common = {.myhostname = "mail.example", .myorigin = "example"},
    .bounce_size_limit = 50000,
};
static struct service service = {.conf = &conf};

static const char original[] = "From: a@b.example\r\nSubject: hello\r\n\r\nthe body\r\n";

static struct job
make_job(struct reported *r, size_t n)
{
	struct job job = {
	    .service = &service,
	    .queue_id = "ABC",
	    .sender = "sender@far.example",
	    .envid = "env+2Bid",
	    .size = sizeof original - 1,
	    .header_size = strlen("From: a@b.example\r\nSubject: hello\r\n"),
	    .arrived = 1700000000000000,
	    .reported = r,
	    .nreported = n,
	};

	buf_init(&job.excerpt, EXCERPT_MAX);
	assert_int_equal(buf_puts(&job.excerpt, original), 0);
	return job;
}

static struct reported
make_failed(void)
{
	return (struct reported){
	    .action = DSN_FAILED,
	    .address = "x@gone.example",
	    .original = "alias@here.example",
	    .orcpt = "rfc822;x+2By@gone.example",
	    .text = "host mx[192.0.2.1] said: 550 no",
	    .mta = "mx.gone.example",
	    .code = "5.1.1",
	    .tried = 1700000001000000,
	};
}

static char *
write_report(struct job *job)
{
	struct buf out = {.max = 1 << 20};

	assert_int_equal(
	    report_write(job, report_kind(job), "MAILER-DAEMON@mail.example", job->sender, &out),
	    0);
	buf_free(&job->excerpt);
	return buf_steal(&out);
}

static void
assert_has(const char *text, const char *part)
{
	assert_non_null(text);
	if (strstr(text, part) == NULL)
		fail_msg("no \"%s\" in:\n%s", part, text != NULL ? text : "");
}

static void
a_failure_has_all_its_parts(void **state)
{
	struct reported r = make_failed();
	struct job job = make_job(&r, 1);
	char *text = write_report(&job);

	(void)state;
	assert_has(text, "Subject: Undelivered Mail Returned to Sender\r\n");
	assert_has(text, "To: sender@far.example\r\n");
	assert_has(text, "Auto-Submitted: auto-replied\r\n");
	assert_has(text, "multipart/report; report-type=delivery-status;");
	assert_has(text, "Reporting-MTA: dns; mail.example\r\n");
	assert_has(text, "Original-Envelope-Id: env+id\r\n");
	assert_has(text, "Original-Recipient: rfc822;x+y@gone.example\r\n");
	assert_has(
	    text, "Final-Recipient: rfc822; x@gone.example\r\nAction: failed\r\nStatus: 5.1.1\r\n");
	assert_has(text, "Remote-MTA: dns; mx.gone.example\r\n");
	assert_has(text, "Diagnostic-Code: smtp; 550 no\r\n");
	assert_has(text, "Content-Type: message/rfc822\r\n");
	assert_has(text, "the body\r\n");
	for (const char *p = text; (p = strchr(p, '\n')) != NULL; p++)
		assert_true(p > text && p[-1] == '\r');
	free(text);
}

static void
ret_and_size_decide_what_is_quoted(void **state)
{
	struct reported r = make_failed();
	struct job job = make_job(&r, 1);

	(void)state;
	job.ret = RET_HDRS;
	char *text = write_report(&job);
	assert_has(text, "Content-Type: text/rfc822-headers\r\n");
	assert_null(strstr(text, "the body"));
	free(text);

	job = make_job(&r, 1);
	job.size = 1 << 20; /* only its start came along */
	text = write_report(&job);
	assert_has(text, "Subject: hello\r\n");
	assert_null(strstr(text, "the body"));
	free(text);
}

static void
the_worst_of_its_recipients_names_it(void **state)
{
	struct reported r[] = {make_failed(), make_failed()};
	struct job job = make_job(r, 2);

	(void)state;
	assert_int_equal(report_kind(&job), NOTICE_FAILURE);
	r[0].action = DSN_DELIVERED;
	r[1].action = DSN_DELAYED;
	assert_int_equal(report_kind(&job), NOTICE_DELAY);
	r[1].action = DSN_RELAYED;
	assert_int_equal(report_kind(&job), NOTICE_SUCCESS);
	r[1].action = DSN_FAILED;
	job.sender = "";
	assert_int_equal(report_kind(&job), NOTICE_POSTMASTER);
	buf_free(&job.excerpt);
}

static void
long_replies_are_folded(void **state)
{
	static char reply[3000];
	struct reported r = make_failed();
	struct job job = make_job(&r, 1);

	(void)state;
	for (size_t i = 0; i < sizeof reply - 1; i++)
		reply[i] = i % 10 == 9 ? ' ' : 'x';
	r.text = reply;
	char *text = write_report(&job);
	for (const char *line = text, *end; (end = strstr(line, "\r\n")) != NULL; line = end + 2)
		assert_true(end - line <= 998);
	free(text);
}

static void
utf8_mail_has_its_own_types(void **state)
{
	struct reported r = make_failed();
	struct job job = make_job(&r, 1);

	(void)state;
	job.flags = MAIL_SMTPUTF8;
	char *text = write_report(&job);
	assert_has(text, "Content-Type: message/global-delivery-status\r\n");
	assert_has(text, "Content-Type: message/global\r\n");
	assert_has(text, "Final-Recipient: utf-8; x@gone.example\r\n");
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_failure_has_all_its_parts),
	    cmocka_unit_test(ret_and_size_decide_what_is_quoted),
	    cmocka_unit_test(the_worst_of_its_recipients_names_it),
	    cmocka_unit_test(long_replies_are_folded),
	    cmocka_unit_test(utf8_mail_has_its_own_types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
