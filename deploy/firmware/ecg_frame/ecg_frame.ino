/* An AD8232 on an Arduino or an ESP32 that sends the ECG-NAT serial frame: one lead, 250 Hz, 115200 baud.
 *
 * With more leads or another rate the line may be too slow; the table in docs/reference/serial.md says which baud rate is needed.
 * What is special to the front end are the constants below and read_front_end().
 *
 * The device numbers its samples and never waits: samples that could not be taken in time are left out of the count's
 * run, and the receiver sees a gap. A new session number at each start tells it that the count starts anew.
 */
#include "ecg_frame.h"

static const long BAUD = 115200;
static const uint32_t RATE_HZ = 250;
static const size_t FRAME_INSTANTS = 25; /* 0.1 s: the delay that framing adds, and what one damaged byte costs */
static const int PIN_ECG = A0, PIN_OFF_PLUS = 10, PIN_OFF_MINUS = 11; /* on an ESP32, for instance: 34, 32, 33 */

/* Amplifier gain 1100 (the breakout's), converter of 10 bits over 5 V: 1.1 V per mV / 4.888 mV = 225 units per mV.
 * For an ESP32 (12 bits over about 3.3 V): gain 1365, baseline 2048. */
static const ecg_lead LEADS[] = {{"I", 225.0, 512}};
static ecg_stream stream = {LEADS, 1, 2, (double)RATE_HZ, 0};

static int32_t samples[FRAME_INSTANTS];
static uint8_t frame[2 * FRAME_INSTANTS + 64];
static size_t filled = 0;
static uint32_t next_sample = 0, first_sample = 0, next_header = 0;
static uint64_t first_us = 0;
static bool was_off = false;

/* micros() wraps after 71 minutes; this does not. */
static uint64_t clock_us() {
    static uint32_t last = 0;
    static uint64_t turns = 0;
    uint32_t now = micros();
    if (now < last) {
        turns += (uint64_t)1 << 32;
    }
    last = now;
    return turns + now;
}

static int32_t read_front_end() { return analogRead(PIN_ECG); }

static bool electrode_is_off() { return digitalRead(PIN_OFF_PLUS) == HIGH || digitalRead(PIN_OFF_MINUS) == HIGH; }

static void send_frame() {
    if (filled == 0) {
        return;
    }
    if ((int32_t)(first_sample - next_header) >= 0) {
        Serial.write(frame, ecg_header_frame(frame, sizeof frame, &stream, first_sample));
        next_header = first_sample + RATE_HZ;
    }
    Serial.write(frame, ecg_data_frame(frame, sizeof frame, &stream, first_sample, first_us, was_off ? 1 : 0, samples,
                                       filled));
    filled = 0;
}

static uint16_t random_session() {
    uint16_t noise = (uint16_t)micros();
    for (int k = 0; k < 16; k++) {
        noise = (uint16_t)((noise << 1 | noise >> 15) ^ analogRead(PIN_ECG));
    }
    return noise ? noise : 1; /* 0 means: this device has no sessions */
}

void setup() {
    Serial.begin(BAUD);
    pinMode(PIN_OFF_PLUS, INPUT);
    pinMode(PIN_OFF_MINUS, INPUT);
    stream.session = random_session();
}

void loop() {
    static const uint64_t start_us = clock_us();
    uint64_t now_us = clock_us();
    uint32_t due = (uint32_t)((now_us - start_us) * RATE_HZ / 1000000u);
    if ((int32_t)(due - next_sample) < 0) {
        return;
    }
    bool off = electrode_is_off();
    if (filled == FRAME_INSTANTS || (filled > 0 && (due != next_sample || off != was_off))) {
        send_frame();
    }
    if (filled == 0) {
        first_sample = next_sample = due;
        first_us = now_us;
        was_off = off;
    }
    samples[filled++] = read_front_end();
    next_sample++;
}
