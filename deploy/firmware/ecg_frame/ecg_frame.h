/* The ECG-NAT serial frame, encoded on a microcontroller. Plain C99, no allocation, no library.
 *
 * edge/sources/formats/frame.py describes the format; a test compares the two byte for byte. Each function writes one
 * frame, with a zero byte before and after it, and returns its length, or 0 where it does not fit.
 *
 *     COBS( u8 kind | u16 session | u32 sequence | body | u16 CRC-16/IBM-3740 )      all little-endian
 *
 * COBS: Cheshire & Baker, IEEE/ACM Transactions on Networking 7(2), 1999. The zeros are stuffed while the bytes are
 * written, and the CRC is taken along, so that a frame needs no second buffer.
 */
#ifndef ECG_FRAME_H
#define ECG_FRAME_H

#include <float.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { ECG_HEADER = 1, ECG_DATA = 2, ECG_END = 3, ECG_VERSION = 1, ECG_MAX_FRAME = 4096, ECG_NAME = 8 };

typedef struct {
    const char *name;  /* at most 8 ASCII characters: I, II, III, aVR, aVL, aVF, V1 to V6 */
    double gain;       /* ADC units per mV */
    int32_t baseline;  /* ADC value of 0 mV */
} ecg_lead;

typedef struct {
    const ecg_lead *leads;
    uint8_t lead_count;
    uint8_t width;     /* bytes of a sample: 2, 3 or 4 */
    double rate_hz;
    uint16_t session;  /* another one, best at random, each time the sample count starts anew */
} ecg_stream;

typedef struct {
    uint8_t *out;
    size_t room, length;
    size_t code;  /* where the length of the running COBS block goes */
    uint16_t crc;
} ecg_writer;

static inline void ecg_raw(ecg_writer *w, uint8_t byte) {
    if (w->length < w->room) {
        w->out[w->length] = byte;
    }
    w->length++;
}

static inline void ecg_close_block(ecg_writer *w) {
    if (w->code < w->room) {
        w->out[w->code] = (uint8_t)(w->length - w->code);
    }
    w->code = w->length;
    ecg_raw(w, 0);
}

static inline void ecg_stuffed(ecg_writer *w, uint8_t byte) {
    if (byte != 0) {
        ecg_raw(w, byte);
    }
    if (byte == 0 || w->length - w->code == 255) {
        ecg_close_block(w);
    }
}

static inline void ecg_byte(ecg_writer *w, uint8_t byte) {
    w->crc ^= (uint16_t)((uint16_t)byte << 8);
    for (int bit = 0; bit < 8; bit++) {
        w->crc = (uint16_t)(w->crc & 0x8000u ? (uint16_t)(w->crc << 1) ^ 0x1021u : (uint16_t)(w->crc << 1));
    }
    ecg_stuffed(w, byte);
}

static inline void ecg_integer(ecg_writer *w, uint64_t value, int bytes) {
    for (int k = 0; k < bytes; k++) {
        ecg_byte(w, (uint8_t)(value >> (8 * k)));
    }
}

/* IEEE 754 binary64, also where `double` has only 32 bits, as on the AVR. Normal numbers and zero. */
static inline void ecg_binary64(ecg_writer *w, double value) {
    uint64_t bits = 0;
#if defined(ECG_NARROW_DOUBLE) || DBL_MANT_DIG == 24
    float narrow = (float)value;
    uint32_t single;
    memcpy(&single, &narrow, sizeof single);
    if ((single & 0x7fffffffu) != 0) {
        uint64_t exponent = ((single >> 23) & 0xffu) + (1023u - 127u);
        bits = exponent << 52 | (uint64_t)(single & 0x7fffffu) << 29;
    }
    bits |= (uint64_t)(single >> 31) << 63;
#else
    memcpy(&bits, &value, sizeof bits);
#endif
    ecg_integer(w, bits, 8);
}

static inline ecg_writer ecg_begin(uint8_t *out, size_t room, uint8_t kind, const ecg_stream *s, uint32_t sequence) {
    ecg_writer w = {out, room, 0, 1, 0xffffu};
    ecg_raw(&w, 0);
    ecg_raw(&w, 0);
    ecg_byte(&w, kind);
    ecg_integer(&w, s->session, 2);
    ecg_integer(&w, sequence, 4);
    return w;
}

static inline size_t ecg_finish(ecg_writer *w) {
    uint16_t crc = w->crc;
    ecg_integer(w, crc, 2);
    ecg_close_block(w); /* the zero that it opens the next block with ends the frame */
    return w->length <= w->room && w->length <= ECG_MAX_FRAME + 2 ? w->length : 0;
}

/* HEADER: send it first, and then at least every second. `sequence`: index of the next sample. */
static inline size_t ecg_header_frame(uint8_t *out, size_t room, const ecg_stream *s, uint32_t sequence) {
    ecg_writer w = ecg_begin(out, room, ECG_HEADER, s, sequence);
    ecg_byte(&w, ECG_VERSION);
    ecg_byte(&w, s->width);
    ecg_byte(&w, s->lead_count);
    ecg_binary64(&w, s->rate_hz);
    for (int lead = 0; lead < s->lead_count; lead++) {
        const char *name = s->leads[lead].name;
        for (int k = 0, ended = 0; k < ECG_NAME; k++) {
            ended = ended || name[k] == 0;
            ecg_byte(&w, ended ? 0 : (uint8_t)name[k]);
        }
        ecg_binary64(&w, s->leads[lead].gain);
        ecg_integer(&w, (uint32_t)s->leads[lead].baseline, 4);
    }
    return ecg_finish(&w);
}

/* DATA: `instants` samples of each lead, all leads of an instant together; bit k of `lead_off` is lead k. The most
 * negative value of the width means "no value". `device_us`: the device's clock at the first instant. */
static inline size_t ecg_data_frame(uint8_t *out, size_t room, const ecg_stream *s, uint32_t sequence,
                                    uint64_t device_us, uint16_t lead_off, const int32_t *samples, size_t instants) {
    ecg_writer w = ecg_begin(out, room, ECG_DATA, s, sequence);
    ecg_integer(&w, device_us, 8);
    ecg_integer(&w, lead_off, 2);
    for (size_t k = 0; k < instants * s->lead_count; k++) {
        ecg_integer(&w, (uint32_t)samples[k], s->width);
    }
    return ecg_finish(&w);
}

/* END: the stream is over. */
static inline size_t ecg_end_frame(uint8_t *out, size_t room, const ecg_stream *s, uint32_t sequence,
                                   uint64_t device_us) {
    ecg_writer w = ecg_begin(out, room, ECG_END, s, sequence);
    ecg_integer(&w, device_us, 8);
    ecg_integer(&w, 0, 2);
    return ecg_finish(&w);
}

#endif
