/* SPDX-License-Identifier: ISC */
/* Mail through the real cleanup and qmgr: delivered, deferred, bounced, held, listed; both killed
 * and restarted in between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "stage.h"

static struct stage stage;
static struct stage *const st = &stage;

#define MESSAGE "Subject: test\r\nMessage-Id: <1@x>\r\n\r\n.body\r\n"

static bool
all_acked(struct stage *s)
{
	return s->nacks >= s->ndeliveries && s->nrunning == 0;
}

static size_t wanted;

static bool
enough_deliveries(struct stage *s)
{
	return s->ndeliveries >= wanted;
}

static void
await(size_t deliveries)
{
	wanted = deliveries;
	stage_until(st, enough_deliveries, "deliveries have begun");
}

static bool
waits_in_cur(struct stage *s)
{
	return stage_count(s, "cur") == 1;
}

static bool
cur_is_empty(struct stage *s)
{
	return stage_count(s, "cur") == 0;
}

static bool
waits_in_hold(struct stage *s)
{
	return stage_count(s, "hold") == 1;
}

static struct stage_delivery *
last(void)
{
	return &st->deliveries[(st->ndeliveries - 1) % STAGE_DELIVERIES];
}

static void
test_delivered(void **state)
{
	(void)state;
	stage_mail(st, "a@one.example", MESSAGE);
	assert_int_equal(st->nqueued, 1);
	await(1);
	stage_until(st, all_acked, "the result is acknowledged");
	assert_string_equal(last()->id, st->last_id);
	assert_string_equal(last()->nexthop, "one.example");
	assert_memory_equal(
	    last()->content, "Received: from client.example (client.example [192.0.2.9])\r\n", 60);
	assert_non_null(strstr(last()->content, "for <a@one.example>"));
	assert_non_null(strstr(last()->content, "\r\nSubject: test\r\n"));
	stage_list(st, "");
	assert_int_equal(st->nentries, 0);
	assert_int_equal(stage_count(st, "cur"), 0);
}

static void
test_refused(void **state)
{
	size_t before = st->nrefused;

	(void)state;
	stage_mail(st, "a@one.example", "Subject: x\r\n\r\nbare\nnewline\r\n");
	assert_int_equal(st->nrefused, before + 1);
	assert_string_equal(st->last_why.code, "5.6.0");
	char *loop = calloc(1, 10000);
	for (int i = 0; i < 60; i++)
		strcat(loop, "Received: by x; y\r\n");
	strcat(loop, "\r\nx\r\n");
	stage_mail(st, "a@one.example", loop);
	assert_string_equal(st->last_why.code, "5.4.6");
	assert_int_equal(st->last_why.smtp, 554);
	free(loop);
}

static void
test_virtual_and_local(void **state)
{
	static const char *const rcpts[] = {"all@virtual.example", "b@two.example"};
	size_t before = st->ndeliveries;

	(void)state;
	stage_submit(st, "from@example.com", rcpts, 2, STR("Bcc: secret@x\r\nTo: me\r\n\r\nhello"),
	    "", MAIL_LOCAL);
	await(before + 2);
	stage_until(st, all_acked, "both are delivered");
	for (size_t i = 0; i < 2; i++) {
		const struct stage_delivery *d = &st->deliveries[before + i];
		assert_int_equal(d->nrcpts, 1); /* repeated ones are one */
		assert_null(strstr(d->content, "secret"));
		assert_non_null(strstr(d->content, "\r\nFrom: from@example.com\r\n"));
		assert_non_null(strstr(d->content, "\r\nDate: "));
		assert_non_null(strstr(d->content, "\r\nMessage-Id: <"));
		assert_null(strstr(d->content, "\r\n\tfor <"));
		assert_string_equal(d->content + d->size - 9, "\r\nhello\r\n");
	}
}

static void
test_large(void **state)
{
	size_t n = 200000, before = st->ndeliveries;
	char *content = malloc(n);
	const char *rcpt = "a@one.example";

	(void)state;
	memset(content, 'x', n);
	memcpy(content, "Subject: large\r\n\r\n", 18);
	for (size_t i = 1000; i < n; i += 1000)
		memcpy(content + i, "\r\n", 2);
	memcpy(content + n - 2, "\r\n", 2);
	stage_submit(st, "from@example.com", &rcpt, 1, str_make(content, n), "", 0);
	await(before + 1);
	stage_until(st, all_acked, "it is delivered");
	assert_true(last()->size > n);
	assert_memory_equal(last()->content + last()->size - n, content, n);
	stage_for(st, 300);
	assert_int_equal(stage_count(st, "new"), 0);
	free(content);
}

static void
test_deferred_and_listed(void **state)
{
	char id[64];

	(void)state;
	stage_mail(st, "defer@one.example", MESSAGE);
	strcpy(id, st->last_id);
	stage_until(st, waits_in_cur, "it waits");
	stage_for(st, 100);
	stage_list(st, "deferred");
	assert_int_equal(st->nentries, 1);
	assert_int_equal(st->nentry_rcpts, 1);
	assert_non_null(strstr(st->entries, id));
	/* It survives qmgr's death, and its index with it. */
	stage_kill(st, &st->qmgr);
	stage_start_qmgr(st);
	stage_list(st, "");
	assert_int_equal(st->nentries, 1);
	size_t before = st->ndeliveries;
	stage_act(st, "flush", id);
	await(before + 1);
	assert_string_equal(last()->id, id);
	stage_for(st, 200);
	stage_act(st, "hold", id);
	stage_until(st, waits_in_hold, "it is on hold");
	stage_for(st, 100);
	stage_list(st, "hold");
	assert_int_equal(st->nentries, 1);
	before = st->ndeliveries;
	stage_act(st, "release", id);
	await(before + 1);
	stage_until(st, waits_in_cur, "it waits again");
	stage_for(st, 100);
	stage_act(st, "delete", id);
	stage_until(st, cur_is_empty, "it is deleted");
	stage_for(st, 100);
	stage_list(st, "");
	assert_int_equal(st->nentries, 0);
}

static void
test_bounced(void **state)
{
	size_t before = st->nnotices;

	(void)state;
	stage_mail(st, "bounce@one.example", MESSAGE);
	stage_mail(st, "x@error.example", MESSAGE);
	wanted = 0;
	stage_for(st, 500);
	assert_int_equal(st->nnotices, before + 2);
	assert_string_equal(last()->transport, "bounce");
	assert_int_equal(last()->actions[0], DSN_FAILED);
	stage_list(st, "");
	assert_int_equal(st->nentries, 0);
}

/* qmgr dies while a delivery is under way: it is not started again, and its result counts. */
static void
test_kill_in_delivery(void **state)
{
	(void)state;
	st->hold_answers = true;
	size_t before = st->ndeliveries;
	stage_mail(st, "a@one.example", MESSAGE);
	stage_mail(st, "a@two.example", MESSAGE);
	await(before + 2);
	stage_for(st, 50);
	stage_kill(st, &st->qmgr);
	stage_start_qmgr(st);
	stage_for(st, 300);
	assert_int_equal(st->ndeliveries, before + 2);
	stage_list(st, "active");
	assert_int_equal(st->nentries, 2);
	/* The one is reported with the new channel's id 0, the other's worker dies. */
	struct stage_delivery *d = &st->deliveries[before % STAGE_DELIVERIES];
	struct msg_deliver_result r = {.queue_id = str_from(d->id),
	    .index = d->rcpts[0],
	    .status = DELIVERY_SENT,
	    .code = STR("2.0.0")};
	struct msg_deliver_end end = {.queue_id = str_from(d->id), .reached = 1};
	assert_int_equal(chan_send(st->remote, 0, 0, MSG_DELIVER_RESULT, &r), 0);
	assert_int_equal(chan_send(st->remote, 0, 0, MSG_DELIVER_END, &end), 0);
	d->answered = true;
	stage_for(st, 200);
	stage_list(st, "active");
	assert_int_equal(st->nentries, 1);
	d = &st->deliveries[(before + 1) % STAGE_DELIVERIES];
	assert_non_null(strstr(st->entries, d->id));
	struct msg_deliver_end lost = {
	    .queue_id = str_from(d->id), .code = STR("4.4.2"), .text = STR("lost connection")};
	d->answered = true;
	assert_int_equal(chan_send(st->remote, 0, 0, MSG_DELIVER_END, &lost), 0);
	st->nrunning = 0;
	st->hold_answers = false;
	await(before + 3);
	stage_for(st, 200);
	stage_list(st, "");
	assert_int_equal(st->nentries, 0);
}

/* Mail that came while qmgr was away, and while cleanup died, is there. */
static void
test_kill_both(void **state)
{
	size_t before = st->ndeliveries;

	(void)state;
	stage_kill(st, &st->qmgr);
	for (int i = 0; i < 10; i++)
		stage_mail(st, "a@one.example", MESSAGE);
	stage_kill(st, &st->cleanup);
	stage_start_cleanup(st);
	stage_mail(st, "a@one.example", MESSAGE);
	stage_start_qmgr(st);
	await(before + 11);
	stage_for(st, 300);
	assert_int_equal(st->ndeliveries, before + 11);
	stage_kill(st, &st->qmgr);
	stage_start_qmgr(st);
	stage_for(st, 300);
	assert_int_equal(st->ndeliveries, before + 11); /* nothing is delivered twice */
}

static void
test_child_once(void **state)
{
	const char *rcpt = "a@two.example";
	char parent[100], first[64];
	size_t before = st->ndeliveries;

	(void)state;
	st->hold_answers = true;
	stage_mail(st, "a@one.example", MESSAGE);
	await(before + 1);
	snprintf(parent, sizeof parent, "%s 0 leaf", st->last_id);
	wanted = st->nqueued + 1;
	for (int i = 0; i < 2; i++) {
		size_t had = st->nqueued;
		stage_submit(st, "from@example.com", &rcpt, 1, STR(MESSAGE), parent, MAIL_RESUBMIT);
		while (st->nqueued == had && st->nrefused < 1000)
			stage_for(st, 10);
		if (i == 0)
			strcpy(first, st->last_id);
	}
	assert_string_equal(st->last_id, first);
	/* And again after a kill of qmgr. */
	stage_kill(st, &st->qmgr);
	stage_start_qmgr(st);
	size_t had = st->nqueued;
	stage_submit(st, "from@example.com", &rcpt, 1, STR(MESSAGE), parent, MAIL_RESUBMIT);
	while (st->nqueued == had)
		stage_for(st, 10);
	assert_string_equal(st->last_id, first);
	st->hold_answers = false;
	for (size_t i = 0; i < STAGE_DELIVERIES; i++) {
		struct stage_delivery *d = &st->deliveries[i];
		if (!d->gone || d->answered)
			continue;
		struct msg_deliver_result r = {.queue_id = str_from(d->id),
		    .index = d->rcpts[0],
		    .status = DELIVERY_SENT,
		    .code = STR("2.0.0")};
		struct msg_deliver_end end = {.queue_id = str_from(d->id), .reached = 1};
		d->answered = true;
		assert_int_equal(chan_send(st->remote, 0, 0, MSG_DELIVER_RESULT, &r), 0);
		assert_int_equal(chan_send(st->remote, 0, 0, MSG_DELIVER_END, &end), 0);
	}
	st->nrunning = 0;
	stage_for(st, 300);
	stage_list(st, "");
	assert_int_equal(st->nentries, 0);
}

/* A destination that never speaks: after a few deliveries the rest is put off without one. */
static void
test_dead_destination(void **state)
{
	size_t before = st->ndeliveries;

	(void)state;
	st->unreachable = true;
	for (int i = 0; i < 12; i++)
		stage_mail(st, "a@dead.example", MESSAGE);
	stage_for(st, 500);
	assert_true(st->ndeliveries - before < 12);
	assert_int_equal(stage_count(st, "cur"), 12);
	st->unreachable = false;
	/* Others go on. */
	stage_mail(st, "a@one.example", MESSAGE);
	before = st->ndeliveries;
	stage_act(st, "flush", "");
	stage_until(st, cur_is_empty, "the probe has revived it, and all is delivered");
}

/* A domain that does not exist is no dead destination: each message is answered at once. */
static void
test_no_such_destination(void **state)
{
	size_t before = st->nnotices;

	(void)state;
	for (int i = 0; i < 12; i++)
		stage_mail(st, "nohost@none.example", MESSAGE);
	wanted = 0;
	stage_for(st, 500);
	assert_int_equal(stage_count(st, "cur"), 0);
	assert_int_equal(st->nnotices, before + 12);
	stage_list(st, "");
	assert_int_equal(st->nentries, 0);
}

/* Waiting mail fills segments: it gets files, the segments are used again, and nothing of it is
 * lost or doubled. */
static void
test_full_segments(void **state)
{
	size_t n = 30000, before = st->ndeliveries;
	char *content = calloc(1, n + 1);
	unsigned messages = 150;

	(void)state;
	memset(content, 'x', n);
	memcpy(content, "Subject: s\r\n\r\n", 14);
	memcpy(content + n - 2, "\r\n", 2);
	st->hold_answers = true;
	for (unsigned i = 0; i < messages; i++)
		stage_mail(st, "a@full.example", content);
	stage_for(st, 500);
	assert_true(stage_count(st, "cur") > 0);
	size_t first = st->ndeliveries - before;
	stage_kill(st, &st->qmgr);
	stage_start_qmgr(st);
	stage_for(st, 1000);
	stage_list(st, "active");
	assert_int_equal(st->nentries, messages);
	/* What the first qmgr had begun is said to have failed; all is then delivered, once. */
	for (size_t i = before; i < st->ndeliveries; i++) {
		struct stage_delivery *d = &st->deliveries[i % STAGE_DELIVERIES];
		struct msg_deliver_end lost = {
		    .queue_id = str_from(d->id), .code = STR("4.4.2"), .text = STR("lost")};
		if (i >= before + first) {
			stage_answer(st, d, DELIVERY_SENT);
			continue;
		}
		d->answered = true;
		assert_int_equal(chan_send(st->remote, 0, 0, MSG_DELIVER_END, &lost), 0);
	}
	st->nrunning = 0;
	st->hold_answers = false;
	await(before + first + messages);
	stage_until(st, cur_is_empty, "all files are gone");
	stage_for(st, 500);
	assert_int_equal(st->ndeliveries, before + first + messages);
	stage_list(st, "");
	assert_int_equal(st->nentries, 0);
	stage_list(st, "corrupt");
	assert_int_equal(st->nentries, 0);
	free(content);
}

static int
set_up(void **state)
{
	(void)state;
	stage_start_cleanup(st);
	stage_start_qmgr(st);
	return 0;
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_delivered),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_virtual_and_local),
	    cmocka_unit_test(test_large),
	    cmocka_unit_test(test_deferred_and_listed),
	    cmocka_unit_test(test_bounced),
	    cmocka_unit_test(test_kill_in_delivery),
	    cmocka_unit_test(test_kill_both),
	    cmocka_unit_test(test_child_once),
	    cmocka_unit_test(test_dead_destination),
	    cmocka_unit_test(test_no_such_destination),
	    cmocka_unit_test(test_full_segments),
	};

	stage_open(st, argc, argv);
	st->settings[st->nsettings][0] = (char *)"cleanup:queue_minfree";
	st->settings[st->nsettings++][1] = (char *)"1";
	st->settings[st->nsettings][0] = (char *)"cleanup:journal_segment_size";
	st->settings[st->nsettings++][1] = (char *)"1M";
	st->settings[st->nsettings][0] = (char *)"qmgr:qmgr_journal_segments";
	st->settings[st->nsettings++][1] = (char *)"1";
	int failed = cmocka_run_group_tests(tests, set_up, NULL);
	stage_close(st);
	return failed;
}
