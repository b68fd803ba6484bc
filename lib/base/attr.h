/* SPDX-License-Identifier: ISC */
/* Compiler attributes, in one place. */
#ifndef KP_BASE_ATTR_H
#define KP_BASE_ATTR_H

#define KP_MUST_USE __attribute__((warn_unused_result))
#define KP_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define KP_NORETURN __attribute__((noreturn))
#define KP_NEVER_NULL __attribute__((returns_nonnull))
#define KP_UNUSED __attribute__((unused))

#define NELEM(array) (sizeof(array) / sizeof((array)[0]))

#endif
