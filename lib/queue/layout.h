/* SPDX-License-Identifier: ISC */
/* Where things are in a segment: shared by its writer (segment.c) and its reader (segment_read.c)
 * alone. */
#ifndef KP_QUEUE_LAYOUT_H
#define KP_QUEUE_LAYOUT_H

static const unsigned char layout_segment_magic[8] = {'K', 'P', 'S', 'E', 'G', '\0', '\r', '\n'};

enum {
	SEGMENT_VERSION = 1,
	/* header */
	SEG_AT_VERSION = 8,
	SEG_AT_NUMBER = 16,
	SEG_AT_SEAL = 24,
	SEG_AT_SIZE = 32,
	SEG_AT_WHEN = 40,
	SEG_AT_SUM = 56,
	SEG_HEADER = 64,
	/* marks: seal, durable, zeros, checksum */
	MARK_A = 512,
	MARK_B = 1024,
	MARK_SIZE = 64,
	MARK_AT_SUM = 56,
	/* frame */
	FRAME_MAGIC = 0x726a504b, /* "KPjr" */
	FRAME_AT_SEAL = 8,
	FRAME_AT_OFFSET = 16,
	FRAME_AT_LENGTH = 24,
	FRAME_AT_DURABLE = 32,
	FRAME_AT_SUM = 56,
};

#endif
