/* SPDX-License-Identifier: ISC */
/* The head of a message: what proves that it is whole, and that its writer had finished. */
#include "lib/queue/head.h"

#include <string.h>
#include <xxhash.h>

#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/queue/le.h"

static const char magic[8] = {'K', 'P', 'M', 'A', 'I', 'L', '\r', '\n'};

/* Where things are in the head; what is between is zero. */
enum {
	AT_MAGIC = 0,
	AT_VERSION = 8,
	AT_STATE = 10,
	AT_SIZE = 12,
	AT_ID = 16,
	AT_CONTENT_SIZE = 48,
	AT_CONTENT_SUM = 56,
	AT_ENVELOPE_SIZE = 64,
	AT_ENVELOPE_SUM = 72,
	AT_ARRIVED = 80,
	AT_SUM = 120,
};

uint64_t
head_sum(const void *p, size_t n)
{
	return XXH3_64bits(n > 0 ? p : "", n);
}

void
head_encode(const struct head *h, unsigned char *out)
{
	memset(out, 0, HEAD_SIZE);
	memcpy(out + AT_MAGIC, magic, sizeof magic);
	le16_put(out + AT_VERSION, HEAD_VERSION);
	le16_put(out + AT_STATE, (uint16_t)h->state);
	le32_put(out + AT_SIZE, HEAD_SIZE);
	memcpy(out + AT_ID, h->id, strnlen(h->id, HEAD_ID_MAX - 1));
	le64_put(out + AT_CONTENT_SIZE, h->content_size);
	le64_put(out + AT_CONTENT_SUM, h->content_sum);
	le64_put(out + AT_ENVELOPE_SIZE, h->envelope_size);
	le64_put(out + AT_ENVELOPE_SUM, h->envelope_sum);
	le64_put(out + AT_ARRIVED, h->arrived);
	le64_put(out + AT_SUM, head_sum(out, AT_SUM));
}

int
head_decode(const unsigned char *bytes, struct head *h, struct why *why)
{
	if (memcmp(bytes + AT_MAGIC, magic, sizeof magic) != 0)
		return why_perm(why, NULL, "not a message: no magic");
	if (le64_get(bytes + AT_SUM) != head_sum(bytes, AT_SUM))
		return why_perm(why, NULL, "the head's checksum is wrong");
	if (le16_get(bytes + AT_VERSION) != HEAD_VERSION || le32_get(bytes + AT_SIZE) != HEAD_SIZE)
		return why_perm(why, NULL, "written by another version of kingpost");
	uint16_t state = le16_get(bytes + AT_STATE);
	if (state != HEAD_OPEN && state != HEAD_COMMITTED)
		return why_perm(why, NULL, "unknown state %u", (unsigned)state);
	*h = (struct head){
	    .state = (enum head_state)state,
	    .content_size = le64_get(bytes + AT_CONTENT_SIZE),
	    .content_sum = le64_get(bytes + AT_CONTENT_SUM),
	    .envelope_size = le64_get(bytes + AT_ENVELOPE_SIZE),
	    .envelope_sum = le64_get(bytes + AT_ENVELOPE_SUM),
	    .arrived = le64_get(bytes + AT_ARRIVED),
	};
	memcpy(h->id, bytes + AT_ID, HEAD_ID_MAX - 1);
	return 0;
}

size_t
head_total(const struct head *h)
{
	return size_add(HEAD_SIZE, size_add((size_t)h->content_size, (size_t)h->envelope_size));
}

int
head_message(
    struct str bytes, struct head *h, struct str *content, struct str *envelope, struct why *why)
{
	if (bytes.n < HEAD_SIZE)
		return why_perm(why, NULL, "shorter than a head");
	if (head_decode((const unsigned char *)bytes.p, h, why) == -1)
		return -1;
	if (h->state != HEAD_COMMITTED)
		return why_perm(why, NULL, "not committed");
	if (head_total(h) > bytes.n)
		return why_perm(why, NULL, "cut short");
	*content = str_sub(bytes, HEAD_SIZE, (size_t)h->content_size);
	*envelope = str_sub(bytes, HEAD_SIZE + (size_t)h->content_size, (size_t)h->envelope_size);
	if (head_sum(content->p, content->n) != h->content_sum)
		return why_perm(why, NULL, "the content's checksum is wrong");
	if (head_sum(envelope->p, envelope->n) != h->envelope_sum)
		return why_perm(why, NULL, "the envelope's checksum is wrong");
	return 0;
}
