/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Reads, prints and compares values: what is the same for all types, and the types that are single words.
 */

#include <stdio.h>

#include "base/i18n.h"
#include "profile/key-types.h"

enum {
        VALUE_BYTES_MAX = 8192,         /* as long as NetworkManager lets a value of user.data be */
        VALUE_BYTES_READ = 1024 * 1024, /* beyond it nothing is worth reading for a better message */
        EXCERPT_CHARACTERS = 64,
        FORMAT_BYTES = 1024,
};

static const char *const separators = ", \t\r\n";

char *value_excerpt(const char *text) {
        /* Bytes beyond what can show in the excerpt need no walk. */
        return string_excerpt(text, strnlen(text, EXCERPT_CHARACTERS * 4 + 1), EXCERPT_CHARACTERS);
}

bool token_next(const char **cursor, Token *ret) {
        *cursor += strspn(*cursor, separators);
        if (**cursor == 0)
                return false;

        *ret = (Token) { *cursor, strcspn(*cursor, separators) };
        *cursor += ret->length;
        return true;
}

bool token_equal(Token token, const char *word) {
        return strlen(word) == token.length && strncasecmp(token.text, word, token.length) == 0;
}

int token_decimal(Token token, uint32_t *ret) {
        uint64_t number = 0;

        if (token.length == 0)
                return -EINVAL;
        for (size_t i = 0; i < token.length; i++) {
                if (token.text[i] < '0' || token.text[i] > '9')
                        return -EINVAL;
                number = MIN_OF(number * 10 + (uint64_t) (token.text[i] - '0'), (uint64_t) UINT32_MAX + 1);
        }
        if (number > UINT32_MAX)
                return -ERANGE;
        *ret = (uint32_t) number;
        return 0;
}

int refuse(char **ret_reason, int error, const char *format, ...) {
        va_list arguments;
        char *reason;

        va_start(arguments, format);
        int r = vasprintf(&reason, format, arguments);
        va_end(arguments);
        if (r < 0)
                return -ENOMEM;
        *ret_reason = reason;
        return error;
}

int refuse_token(char **ret_reason, int error, const char *format, Token token) {
        _cleanup_(freep) char *excerpt = string_excerpt(token.text, token.length, EXCERPT_CHARACTERS);

        return excerpt ? refuse(ret_reason, error, format, excerpt) : -ENOMEM;
}

void append(char *buffer, size_t size, const char *format, ...) {
        const size_t used = strlen(buffer);
        va_list arguments;

        va_start(arguments, format);
        (void) vsnprintf(buffer + used, size - used, format, arguments);
        va_end(arguments);
}

/* The whole value without the blanks around it. */
static Token trimmed(const char *text) {
        text += strspn(text, " \t\r\n");
        size_t length = strlen(text);
        while (length > 0 && strchr(" \t\r\n", text[length - 1]))
                length--;
        return (Token) { text, length };
}

static const char *const tunnel_words[] = {
        [TUNNEL_NO] = "no",
        [TUNNEL_YES] = "yes",
        [TUNNEL_AUTO] = "auto",
        [TUNNEL_ON_DEMAND] = "on-demand",
        [_TUNNEL_MODE_MAX] = NULL,
};

static const char *const ingress_words[] = {
        [UNDERPASS_RECEIVE_AUTO] = "auto",
        [UNDERPASS_RECEIVE_TC] = "tc",
        [UNDERPASS_RECEIVE_GRO] = "gro",
        [UNDERPASS_RECEIVE_XDP] = "xdp",
        [UNDERPASS_RECEIVE_XDP + 1] = NULL,
};

/* One word out of several; the field is an enum that numbers them. */
static const char *const *choice_words(const Key *key) {
        return key->type == KEY_TUNNEL_MODE ? tunnel_words : ingress_words;
}

static int choice_parse(const Key *key, const char *text, void *field, char **ret_reason) {
        const char *const *words = choice_words(key);
        Token token = trimmed(text);

        for (uint32_t i = 0; words[i]; i++)
                if (token_equal(token, words[i])) {
                        memcpy(field, &i, sizeof(i));
                        return 0;
                }
        return refuse_token(ret_reason, -EINVAL,
                            key->type == KEY_TUNNEL_MODE ? _("“%s” is neither no, yes, auto nor on-demand")
                                                         : _("“%s” is neither auto, tc, gro nor xdp"),
                            token);
}

static void choice_format(const Key *key, const void *field, char *buffer, size_t size) {
        uint32_t i;

        memcpy(&i, field, sizeof(i));
        append(buffer, size, "%s", choice_words(key)[i]);
}

static bool choice_equal(const void *a, const void *b) {
        return memcmp(a, b, sizeof(uint32_t)) == 0;
}

/* The number is not to be trusted. */
static const char *choice_word(const Key *key, size_t number) {
        const char *const *words = choice_words(key);

        for (size_t i = 0; words[i]; i++)
                if (i == number)
                        return words[i];
        return NULL;
}

_Static_assert(sizeof(TunnelMode) == sizeof(uint32_t) && sizeof(enum underpass_receive) == sizeof(uint32_t),
               "choices are numbers of 32 bits");

static int boolean_parse(const Key *key, const char *text, void *field, char **ret_reason) {
        static const struct {
                const char *word;
                bool value;
        } words[] = {
                { "yes", true }, { "no", false }, { "true", true }, { "false", false },
                { "on", true },  { "off", false }, { "1", true },   { "0", false },
        };
        Token token = trimmed(text);

        for (size_t i = 0; i < ELEMENTS(words); i++)
                if (token_equal(token, words[i].word)) {
                        *(bool *) field = words[i].value;
                        return 0;
                }
        return refuse_token(ret_reason, -EINVAL, _("“%s” is neither yes nor no"), token);
}

static void boolean_format(const Key *key, const void *field, char *buffer, size_t size) {
        append(buffer, size, "%s", *(const bool *) field ? "yes" : "no");
}

static bool boolean_equal(const void *a, const void *b) {
        return *(const bool *) a == *(const bool *) b;
}

static const char *boolean_word(const Key *key, size_t number) {
        return number == 0 ? "yes" : number == 1 ? "no" : NULL;
}

static int number_parse(const Key *key, const char *text, void *field, char **ret_reason) {
        Token token = trimmed(text);
        uint32_t number;

        if (key->zero_word && token_equal(token, key->zero_word)) {
                *(uint32_t *) field = 0;
                return 0;
        }

        int r = token_decimal(token, &number);
        if (r == -EINVAL)
                return refuse_token(ret_reason, r, _("“%s” is not a number"), token);
        /* Seconds or times that are "no" can be said to be 0; a size that is "auto" cannot. */
        if (r == 0 && number == 0 && key->zero_word && streq(key->zero_word, "no")) {
                *(uint32_t *) field = 0;
                return 0;
        }
        if (r == -ERANGE || number < key->minimum || number > key->maximum) {
                _cleanup_(freep) char *excerpt = string_excerpt(token.text, token.length,
                                                                EXCERPT_CHARACTERS);

                if (!excerpt)
                        return -ENOMEM;
                return refuse(ret_reason, -ERANGE, _("%s is not in %u … %u"), excerpt, key->minimum,
                              key->maximum);
        }
        *(uint32_t *) field = number;
        return 0;
}

static void number_format(const Key *key, const void *field, char *buffer, size_t size) {
        const uint32_t number = *(const uint32_t *) field;

        if (number == 0 && key->zero_word)
                append(buffer, size, "%s", key->zero_word);
        else
                append(buffer, size, "%u", number);
}

static bool number_equal(const void *a, const void *b) {
        return *(const uint32_t *) a == *(const uint32_t *) b;
}

static const char *number_word(const Key *key, size_t number) {
        return number == 0 ? key->zero_word : NULL;
}

/* 0x… or decimal. A leading zero is refused, for some programs would read it as octal. */
static int mark_number(Token token, uint32_t *ret) {
        uint32_t number = 0;

        if (token.length < 3 || token.text[0] != '0' || (token.text[1] | 0x20) != 'x')
                return token.length > 1 && token.text[0] == '0' ? -EINVAL : token_decimal(token, ret);

        for (size_t i = 2; i < token.length; i++) {
                const char digit = token.text[i], letter = (char) (digit | 0x20);
                uint32_t value;

                if (digit >= '0' && digit <= '9')
                        value = (uint32_t) (digit - '0');
                else if (letter >= 'a' && letter <= 'f')
                        value = (uint32_t) (letter - 'a') + 10;
                else
                        return -EINVAL;
                if (number > UINT32_MAX >> 4)
                        return -ERANGE;
                number = number << 4 | value;
        }
        *ret = number;
        return 0;
}

static int mark_parse(const Key *key, const char *text, void *field, char **ret_reason) {
        Token token = trimmed(text);
        Mark mark = { .set = true, .mask = UINT32_MAX };

        if (token.length == 0) {
                *(Mark *) field = (Mark) { 0 };
                return 0;
        }

        const char *slash = memchr(token.text, '/', token.length);
        Token value = { token.text, slash ? (size_t) (slash - token.text) : token.length };
        int r = mark_number(value, &mark.value);
        if (r == 0 && slash)
                r = mark_number((Token) { slash + 1, token.length - value.length - 1 }, &mark.mask);
        if (r == -ERANGE)
                return refuse_token(ret_reason, r, _("“%s” does not fit 32 bits"), token);
        if (r < 0)
                return refuse_token(ret_reason, r, _("“%s” is not a mark such as 0x10, 16 or 0x10/0xff"),
                                    token);
        if (mark.mask == 0)
                return refuse(ret_reason, -ERANGE,
                              _("mask 0 would match every packet; leave the value empty for that"));
        if ((mark.value & ~mark.mask) != 0)
                return refuse(ret_reason, -ERANGE,
                              _("mark %#x has bits outside mask %#x, so no packet could match"), mark.value,
                              mark.mask);
        *(Mark *) field = mark;
        return 0;
}

static void mark_format(const Key *key, const void *field, char *buffer, size_t size) {
        const Mark *mark = field;

        if (!mark->set)
                return;
        append(buffer, size, "0x%x", mark->value);
        if (mark->mask != UINT32_MAX)
                append(buffer, size, "/0x%x", mark->mask);
}

static bool mark_equal(const void *a, const void *b) {
        const Mark *one = a, *other = b;

        if (!one->set || !other->set)
                return one->set == other->set;
        return one->value == other->value && one->mask == other->mask;
}

static const ValueType value_type_choice = { "s", sizeof(uint32_t), choice_parse, choice_format,
                                             choice_equal, choice_word };
static const ValueType value_type_mark = { "s", sizeof(Mark), mark_parse, mark_format, mark_equal, NULL };
static const ValueType value_type_boolean = { "b", sizeof(bool), boolean_parse, boolean_format,
                                              boolean_equal, boolean_word };
static const ValueType value_type_number = { "u", sizeof(uint32_t), number_parse, number_format,
                                             number_equal, number_word };

static const ValueType *const value_types[_KEY_TYPE_MAX] = {
        [KEY_TUNNEL_MODE] = &value_type_choice,
        [KEY_RECEIVE_MODE] = &value_type_choice,
        [KEY_PORT_SET] = &value_type_ports,
        [KEY_PREFIX_SET] = &value_type_prefixes,
        [KEY_MARK] = &value_type_mark,
        [KEY_BOOLEAN] = &value_type_boolean,
        [KEY_NUMBER] = &value_type_number,
        [KEY_ENDPOINT] = &value_type_endpoint,
};

const char *key_signature(const Key *key) {
        return value_types[key->type]->signature;
}

const char *key_word(const Key *key, size_t number) {
        const ValueType *type = value_types[key->type];

        return type->word ? type->word(key, number) : NULL;
}

int key_parse(const Key *key, const char *text, Settings *settings, char **ret_reason) {
        const ValueType *type = value_types[key->type];
        const size_t length = strnlen(text, VALUE_BYTES_READ + 1);
        Settings scratch = *settings;

        if (length > VALUE_BYTES_READ)
                return refuse(ret_reason, -E2BIG, _("the value is longer than %d bytes"), VALUE_BYTES_MAX);
        if (!utf8_valid(text, length))
                return refuse(ret_reason, -EINVAL, _("the value is not UTF-8 text"));

        int r = type->parse(key, text, (uint8_t *) &scratch + key->offset, ret_reason);
        if (r < 0)
                return r;
        /* Only now, because "too many ports" tells more than "too long". */
        if (length > VALUE_BYTES_MAX)
                return refuse(ret_reason, -E2BIG,
                              _("the value is %zu bytes long; at most %d bytes are taken"), length,
                              VALUE_BYTES_MAX);

        memcpy((uint8_t *) settings + key->offset, (const uint8_t *) &scratch + key->offset, type->size);
        return 0;
}

char *key_format(const Key *key, const Settings *settings) {
        char buffer[FORMAT_BYTES] = "";

        value_types[key->type]->format(key, (const uint8_t *) settings + key->offset, buffer,
                                       sizeof(buffer));
        return strdup(buffer);
}

bool key_equal(const Key *key, const Settings *a, const Settings *b) {
        return value_types[key->type]->equal((const uint8_t *) a + key->offset,
                                             (const uint8_t *) b + key->offset);
}
