/* SPDX-License-Identifier: ISC */
/* The message types as the codec sees them, made from the declarations. */
#include "lib/msg/msg.h"

#include "lib/base/attr.h"

#define ROWS(CONSTANT, tag, last)                       \
	static const struct wire_field tag##_rows[] = { \
	    MSG_##CONSTANT##_FIELDS(WIRE_ROW) WIRE_ROW_END};
MESSAGES(ROWS)
#undef ROWS

#define TYPE(CONSTANT, tag, last) [MSG_##CONSTANT] = WIRE_TYPE(tag, struct msg_##tag),
static const struct wire_type types[MSG_COUNT] = {MESSAGES(TYPE)};
#undef TYPE

#define LAST(CONSTANT, tag, last) [MSG_##CONSTANT] = (last),
static const bool ends[MSG_COUNT] = {MESSAGES(LAST)};
#undef LAST

const struct wire_type *
msg_wire(unsigned type)
{
	return type > MSG_NONE && type < MSG_COUNT ? &types[type] : NULL;
}

bool
msg_ends(unsigned type)
{
	return type < MSG_COUNT && ends[type];
}
