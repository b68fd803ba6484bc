/* SPDX-License-Identifier: ISC */
/*
 * What is read back from the queue's disk. The first octet chooses: raw bytes as a file, as a
 * segment, as an envelope or a row of the index; or bytes behind right checksums, as damage behind
 * them or an older version would look.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/queue/entry.h"
#include "lib/queue/envelope.h"
#include "lib/queue/le.h"
#include "lib/queue/qfile.h"
#include "lib/queue/segment.h"
#include "lib/queue/state.h"
#include "lib/queue/summary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
file_of(struct str bytes)
{
	static int fd = -1;

	if (fd == -1)
		fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (fd == -1 || ftruncate(fd, 0) == -1 || pwrite_all(fd, bytes.p, bytes.n, 0) == -1)
		abort();
	return fd;
}

static void
try_file(struct str bytes)
{
	struct qfile_read r;
	struct state st;
	struct summary sum;
	struct why *none = NULL;

	if (qfile_read(file_of(bytes), &r, true, none) != QFILE_WHOLE)
		return;
	if (state_init(&st, &r.head, r.envelope, none) == 0) {
		state_apply_all(&st, r.entries, qfile_key(&r.head), r.entries_at);
		state_summary(&st, "cur", &sum);
		summary_clear(&sum);
		struct buf again;
		buf_init(&again, 1 << 26);
		state_encode(&st, 1, 0, &again);
		buf_free(&again);
		state_clear(&st);
	}
	qfile_read_clear(&r);
}

static void
on_message(void *arg, const struct segment_found *found)
{
	struct head head;
	struct str content, envelope;
	struct state st;

	(void)arg;
	if (head_message(found->message, &head, &content, &envelope, NULL) == 0 &&
	    state_init(&st, &head, envelope, NULL) == 0)
		state_clear(&st);
}

static void
on_damage(void *arg, uint64_t offset, struct str bytes, const char *reason)
{
	(void)arg;
	(void)offset;
	(void)bytes;
	(void)reason;
}

static void
try_segment(struct str bytes)
{
	struct segment_visitor visitor = {on_message, on_damage, NULL};
	struct segment_info info;
	uint64_t end;
	int fd = file_of(bytes);

	if (segment_info(fd, &info, NULL) == 0 &&
	    segment_walk(fd, &info, SEGMENT_START, &visitor, &end, NULL) == -1)
		return;
}

static void
try_envelope(struct str bytes)
{
	struct envelope env;

	if (envelope_decode(&env, bytes, 1000, NULL) == 0)
		envelope_clear(&env);
}

static void
try_summary(struct str bytes)
{
	struct summary sum;

	if (summary_decode(&sum, bytes, NULL) == 0)
		summary_clear(&sum);
}

/* A whole message with this envelope, and an entry behind it with these items: all checksums are
 * right. */
static void
message_of(struct str envelope, struct str items, struct buf *out)
{
	struct head head = {
	    .state = HEAD_COMMITTED,
	    .id = "0123456789ABCDEF012",
	    .content_sum = head_sum("", 0),
	    .envelope_size = envelope.n,
	    .envelope_sum = head_sum(envelope.p, envelope.n),
	};
	unsigned char bytes[HEAD_SIZE];
	struct entry e = {.kind = ENTRY_RESULT, .text = items};

	head_encode(&head, bytes);
	if (buf_add(out, bytes, sizeof bytes) == -1 || buf_str(out, envelope) == -1)
		abort();
	while (out->n % ENTRY_ALIGN != 0)
		if (buf_byte(out, '\0') == -1)
			abort();
	for (unsigned kind = 1; kind < 9; kind++) {
		e.kind = (enum entry_kind)kind;
		e.index = items.n > 0 ? (unsigned char)items.p[0] % 4 : 0;
		e.status = items.n > 1 ? (unsigned char)items.p[1] : 0;
		entry_encode(&e, qfile_key(&head), out->n, out);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf message;

	if (size < 1 || size > 1 << 20)
		return 0;
	/* A copy of the exact length, so that a byte too far is seen. */
	char *copy = xstrndup((const char *)data + 1, size - 1);
	char *exact = xrealloc(copy, size);
	struct str bytes = str_make(exact, size - 1);
	switch (data[0] % 5) {
	case 0:
		try_file(bytes);
		break;
	case 1:
		try_segment(bytes);
		break;
	case 2:
		try_envelope(bytes);
		break;
	case 3:
		try_summary(bytes);
		break;
	case 4:
		buf_init(&message, 1 << 24);
		message_of(
		    str_sub(bytes, 0, bytes.n / 2), str_from_at(bytes, bytes.n / 2), &message);
		try_file(buf_view(&message));
		buf_free(&message);
		break;
	}
	free(exact);
	return 0;
}
