import { describe, expect, test } from 'vitest';
import { HAGGLING_BACKLOG_BYTES_MAX, HANDSHAKE_MS_MAX, OPTION_BYTES_MAX, OPTIONS_MAX } from '../constants.ts';
import { MemoryDevice, type MemoryDeviceOptions } from '../testing/memory-device.ts';
import { concat, hex, infoData, metaData, optionBytes, TestBed, type TestClient, text, u16, u32 } from '../testing/test-client.ts';
import { encodeText, readU16, readU32, readU64 } from '../wire/bytes.ts';
import { InfoType, NbdCommand, Option, OptionReply, TransmissionFlag } from '../wire/protocol.ts';

const FIXED = 1;
const NO_ZEROES = 2;
const ALL_INFO = [InfoType.EXPORT, InfoType.NAME, InfoType.DESCRIPTION, InfoType.BLOCK_SIZE];

function bedWith(...devices: MemoryDeviceOptions[]): TestBed {
  const bed = new TestBed();
  for (const options of devices) bed.server.addExport(new MemoryDevice(bed.world, 1 << 20, options));
  return bed;
}

/** A client that has been greeted and has answered with `flags`. */
function haggling(bed: TestBed, flags = FIXED | NO_ZEROES): TestClient {
  const client = bed.connect();
  client.take();
  client.send(u32(flags));
  return client;
}

function answerTypes(client: TestClient): number[] {
  return client.answers().map((answer) => answer.type);
}

/** Sends one option and expects a single error in reply, after which the negotiation still works. */
function expectRefused(client: TestClient, option: number, data: Uint8Array, type: number, message: RegExp): void {
  client.option(option, data);
  const answers = client.answers();
  expect(answers).toHaveLength(1);
  expect(answers[0]).toMatchObject({ option, type });
  expect(text(answers[0]?.data as Uint8Array)).toMatch(message);
  client.option(Option.LIST);
  expect(answerTypes(client).at(-1)).toBe(OptionReply.ACK);
}

function lastReason(bed: TestBed): unknown {
  return bed.world.lines.at(-1)?.fields['reason'];
}

describe('handshake', () => {
  test('the server greets before it hears anything', () => {
    const client = bedWith({}).connect();
    expect(hex(client.take())).toBe('4e42444d4147494349484156454f50540003');
    expect(client.stream.flushes).toBe(1);
  });

  test('unknown client flags end the connection, with the reason in the log', () => {
    const bed = bedWith({});
    const client = haggling(bed, 4);
    expect(client.stream.closed).toBe(true);
    expect(bed.world.lines.at(-1)).toMatchObject({ level: 'warn', event: 'nbd connection closed: the client broke the protocol' });
    expect(lastReason(bed)).toMatch(/has not offered/);
  });

  test('a client that chooses no export in time is disconnected, in either phase', () => {
    for (const begun of [false, true]) {
      const bed = bedWith({});
      const client = bed.connect();
      if (begun) client.send(u32(FIXED));
      bed.world.advance(HANDSHAKE_MS_MAX - 1);
      bed.settle();
      expect(client.stream.closed).toBe(false);
      bed.world.advance(1);
      bed.settle();
      expect(client.stream.closed).toBe(true);
      expect(lastReason(bed)).toMatch(/in time/);
      expect(bed.heldBytes()).toBe(0);
    }
  });

  test('a client in transmission may be idle for ever', () => {
    const bed = bedWith({});
    const client = haggling(bed);
    client.option(Option.GO, infoData('', []));
    bed.world.advance(10 * 24 * 3600 * 1000);
    bed.settle();
    expect(client.stream.closed).toBe(false);
  });

  test('an option that does not begin with IHAVEOPT ends the connection', () => {
    const bed = bedWith({});
    const client = haggling(bed);
    client.send(encodeText('IHAVEOPX12345678'));
    expect(client.stream.closed).toBe(true);
    expect(lastReason(bed)).toMatch(/IHAVEOPT/);
  });

  test('an option with more data than allowed ends the connection before the data is awaited', () => {
    for (const length of [OPTION_BYTES_MAX + 1, 0xffff_ffff]) {
      const bed = bedWith({});
      const client = haggling(bed);
      client.send(concat([encodeText('IHAVEOPT'), u32(99), u32(length)]));
      expect(client.stream.closed).toBe(true);
      expect(lastReason(bed)).toMatch(/64 KiB/);
      expect(bed.heldBytes()).toBe(0);
    }
  });

  test('an unknown option of the largest size is skipped and refused', () => {
    expectRefused(haggling(bedWith({})), 99, new Uint8Array(OPTION_BYTES_MAX), OptionReply.ERR_UNSUP, /does not know/);
  });

  test('a client cannot haggle for ever', () => {
    const bed = bedWith({});
    const client = haggling(bed);
    for (let i = 0; i < OPTIONS_MAX; i++) client.stream.feed(optionBytes(99));
    bed.settle();
    expect(client.stream.closed).toBe(false);
    client.option(99);
    expect(client.stream.closed).toBe(true);
    expect(lastReason(bed)).toMatch(/too many options/);
  });

  test('a client that does not read its answers is not listened to until it does', () => {
    const bed = bedWith({ name: 'vol', description: 'x'.repeat(4000) });
    const client = haggling(bed);
    client.stream.blocked = true;
    const lists = 1000;
    for (let i = 0; i < lists; i++) client.stream.feed(optionBytes(Option.LIST, new Uint8Array(0)));
    bed.settle();
    expect(client.stream.queuedBytes).toBeGreaterThan(HAGGLING_BACKLOG_BYTES_MAX);
    expect(client.stream.queuedBytes).toBeLessThan(2 * HAGGLING_BACKLOG_BYTES_MAX);
    client.stream.blocked = false;
    bed.settle();
    expect(answerTypes(client).filter((type) => type === OptionReply.ACK)).toHaveLength(lists);
  });

  test('a whole negotiation may arrive byte by byte, or at once with the first request behind it', () => {
    const bed = bedWith({ name: 'vol' });
    const conversation = concat([
      u32(FIXED | NO_ZEROES),
      optionBytes(Option.STRUCTURED_REPLY),
      optionBytes(Option.GO, infoData('vol', ALL_INFO)),
      hexBytes(`25609513000000030000000000000007${'00'.repeat(12)}`),
    ]);
    const whole = bed.connect();
    whole.take();
    whole.send(conversation);
    const slow = bed.connect();
    slow.take();
    for (const byte of conversation) slow.send(Uint8Array.of(byte));
    const received = hex(whole.take());
    expect(hex(slow.take())).toBe(received);
    expect(received.endsWith('67446698000000000000000000000007')).toBe(true);
  });

  test('cut off anywhere, a negotiation leaves nothing behind', () => {
    const conversation = concat([
      u32(3),
      optionBytes(Option.SET_META_CONTEXT, metaData('', ['base:'])),
      optionBytes(Option.GO, infoData('', [3])),
    ]);
    for (let length = 0; length <= conversation.length; length++) {
      const bed = bedWith({});
      bed.connect().send(conversation.subarray(0, length));
      expect(bed.heldBytes()).toBe(0);
      expect(bed.server.connections()).toEqual([]);
    }
  });
});

describe('EXPORT_NAME', () => {
  const flags =
    TransmissionFlag.HAS_FLAGS |
    TransmissionFlag.SEND_FLUSH |
    TransmissionFlag.SEND_FUA |
    TransmissionFlag.SEND_TRIM |
    TransmissionFlag.SEND_WRITE_ZEROES |
    TransmissionFlag.CAN_MULTI_CONN |
    TransmissionFlag.SEND_CACHE |
    TransmissionFlag.SEND_FAST_ZERO;

  test('answers with size and flags, and 124 zeroes unless the client declined them', () => {
    for (const [clientFlags, length] of [
      [FIXED, 134],
      [FIXED | NO_ZEROES, 10],
      [0, 134],
      [NO_ZEROES, 10],
    ] as const) {
      const client = haggling(bedWith({ name: 'vol' }), clientFlags);
      client.option(Option.EXPORT_NAME, encodeText('vol'));
      const reply = client.take();
      expect(reply).toHaveLength(length);
      expect(readU64(reply, 0)).toBe(1 << 20);
      expect(readU16(reply, 8)).toBe(flags);
      expect(reply.subarray(10).every((byte) => byte === 0)).toBe(true);
      client.request(NbdCommand.FLUSH, 0, 5, 0, 0);
      expect(client.replies()).toMatchObject([{ kind: 'simple', cookie: 5, error: 0 }]);
    }
  });

  test('a name that does not exist, or is no name, ends the connection', () => {
    for (const name of [encodeText('nosuch'), Uint8Array.of(0xff), Uint8Array.of(0x76, 0), new Uint8Array(4097).fill(0x61)]) {
      const bed = bedWith({ name: 'vol' });
      const client = haggling(bed);
      client.option(Option.EXPORT_NAME, name);
      expect(client.stream.closed).toBe(true);
      expect(lastReason(bed)).toMatch(/EXPORT_NAME/);
    }
  });

  test('is the only option for a client without fixed newstyle', () => {
    const bed = bedWith({});
    const client = haggling(bed, 0);
    client.option(Option.LIST);
    expect(client.stream.closed).toBe(true);
    expect(lastReason(bed)).toMatch(/fixed newstyle/);
  });
});

describe('ABORT', () => {
  test('is acknowledged, then the connection closes', () => {
    const bed = bedWith({});
    const client = haggling(bed);
    client.option(Option.ABORT);
    expect(answerTypes(client)).toEqual([OptionReply.ACK]);
    expect(client.stream.closed).toBe(true);
    expect(bed.slabs.heldBytes).toBe(0);
  });

  test('data with it is ignored, as is what follows', () => {
    const client = haggling(bedWith({}));
    client.send(concat([optionBytes(Option.ABORT, Uint8Array.of(1, 2, 3)), optionBytes(Option.LIST)]));
    expect(answerTypes(client)).toEqual([OptionReply.ACK]);
  });
});

describe('LIST', () => {
  test('names every export, with its description', () => {
    const client = haggling(bedWith({ name: 'a', description: 'first' }, { name: '' }, { name: 'ü' }));
    client.option(Option.LIST);
    const answers = client.answers();
    expect(answers.map((answer) => answer.type)).toEqual([OptionReply.SERVER, OptionReply.SERVER, OptionReply.SERVER, OptionReply.ACK]);
    expect(hex(answers[0]?.data as Uint8Array)).toBe(`0000000161${hex(encodeText('first'))}`);
    expect(hex(answers[1]?.data as Uint8Array)).toBe('00000000');
    expect(hex(answers[2]?.data as Uint8Array)).toBe('00000002c3bc');
  });

  test('of a server without exports is empty', () => {
    const client = haggling(new TestBed());
    client.option(Option.LIST);
    expect(answerTypes(client)).toEqual([OptionReply.ACK]);
  });

  test('with data is invalid', () => {
    expectRefused(haggling(bedWith({})), Option.LIST, Uint8Array.of(0), OptionReply.ERR_INVALID, /no data/);
  });
});

describe('options that are not offered', () => {
  test.each([
    ['STARTTLS', Option.STARTTLS, /TLS/],
    ['EXTENDED_HEADERS', Option.EXTENDED_HEADERS, /extended headers/],
    ['PEEK_EXPORT', 4, /does not know/],
    ['0', 0, /does not know/],
    ['12', 12, /does not know/],
    ['2^32-1', 0xffff_ffff, /does not know/],
  ])('%s is unsupported, and the negotiation goes on', (_name, option, message) => {
    expectRefused(haggling(bedWith({})), option, new Uint8Array(0), OptionReply.ERR_UNSUP, message);
    expectRefused(haggling(bedWith({})), option, new Uint8Array(100), OptionReply.ERR_UNSUP, message);
  });
});

describe('STRUCTURED_REPLY', () => {
  test('is acknowledged, and only then DF is offered', () => {
    const client = haggling(bedWith({}));
    client.option(Option.INFO, infoData('', []));
    client.option(Option.STRUCTURED_REPLY);
    client.option(Option.INFO, infoData('', []));
    const [before, , acknowledged, after] = client.answers();
    expect(acknowledged?.type).toBe(OptionReply.ACK);
    expect(readU16(before?.data as Uint8Array, 10) & TransmissionFlag.SEND_DF).toBe(0);
    expect(readU16(after?.data as Uint8Array, 10) & TransmissionFlag.SEND_DF).not.toBe(0);
  });

  test('with data is invalid', () => {
    expectRefused(haggling(bedWith({})), Option.STRUCTURED_REPLY, Uint8Array.of(1), OptionReply.ERR_INVALID, /no data/);
  });
});

describe.each([
  ['INFO', Option.INFO],
  ['GO', Option.GO],
])('%s', (_name, option) => {
  test('tells what was asked, and the export in any case', () => {
    const client = haggling(bedWith({ name: 'vol', description: 'a volume', blockSizeMinBytes: 512, rotational: true }));
    client.option(option, infoData('', [...ALL_INFO, 77, InfoType.NAME]));
    const answers = client.answers();
    expect(answers.map((answer) => answer.type)).toEqual([3, 3, 3, 3, 1]);
    const [info, name, description, sizes] = answers.map((answer) => answer.data) as [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
    expect(readU16(info, 0)).toBe(InfoType.EXPORT);
    expect(readU16(info, 10) & TransmissionFlag.ROTATIONAL).not.toBe(0);
    expect(hex(name)).toBe(`0001${hex(encodeText('vol'))}`);
    expect(hex(description)).toBe(`0002${hex(encodeText('a volume'))}`);
    expect(hex(sizes)).toBe('0003000002000000100002000000');
  });

  test('without information requests tells the export alone', () => {
    const client = haggling(bedWith({ name: 'vol', description: 'a volume' }));
    client.option(option, infoData('vol', []));
    expect(answerTypes(client)).toEqual([OptionReply.INFO, OptionReply.ACK]);
  });

  test('a read-only export offers nothing that would change it', () => {
    const client = haggling(bedWith({ readOnly: true }));
    client.option(option, infoData('', []));
    const flags = readU16(client.answers()[0]?.data as Uint8Array, 10);
    expect(flags & TransmissionFlag.READ_ONLY).not.toBe(0);
    expect(flags & (TransmissionFlag.SEND_TRIM | TransmissionFlag.SEND_WRITE_ZEROES | TransmissionFlag.SEND_FAST_ZERO)).toBe(0);
  });

  test('an unknown export is an error, and the negotiation goes on', () => {
    expectRefused(haggling(bedWith({ name: 'vol' })), option, infoData('nosuch', [3]), OptionReply.ERR_UNKNOWN, /no export/);
  });

  test('malformed data is invalid: every truncation, a tail, lengths that lie, bad text', () => {
    const good = infoData('vol', [1, 3]);
    const bad: Uint8Array[] = [concat([good, u16(0)]), concat([good, Uint8Array.of(0)])];
    for (let length = 0; length < good.length; length++) bad.push(good.subarray(0, length));
    bad.push(concat([u32(0xffff_ffff), encodeText('vol'), u16(0)]));
    bad.push(concat([u32(4), encodeText('vol'), u16(0)]));
    bad.push(concat([u32(4097), new Uint8Array(4097).fill(0x61), u16(0)]));
    bad.push(concat([u32(1), Uint8Array.of(0xff), u16(0)]));
    bad.push(concat([u32(1), Uint8Array.of(0), u16(0)]));
    bad.push(concat([u32(3), encodeText('vol'), u16(0xffff)]));
    const client = haggling(bedWith({ name: 'vol' }));
    for (const data of bad) expectRefused(client, option, data, OptionReply.ERR_INVALID, /take a name/);
  });
});

test('GO begins transmission, INFO does not', () => {
  const bed = bedWith({ name: 'vol' });
  const client = haggling(bed);
  client.option(Option.INFO, infoData('vol', []));
  expect(bed.server.connections()).toMatchObject([{ state: 'HAGGLING', exportName: null }]);
  client.option(Option.GO, infoData('vol', []));
  expect(bed.server.connections()).toMatchObject([{ state: 'TRANSMISSION', exportName: 'vol' }]);
});

describe.each([
  ['LIST_META_CONTEXT', Option.LIST_META_CONTEXT],
  ['SET_META_CONTEXT', Option.SET_META_CONTEXT],
])('%s', (_name, option) => {
  const setting = option === Option.SET_META_CONTEXT;

  function structured(): TestClient {
    const client = haggling(bedWith({ name: 'vol' }));
    client.option(Option.STRUCTURED_REPLY);
    client.take();
    return client;
  }

  function contexts(client: TestClient, queries: string[]): string[] {
    client.option(option, metaData('vol', queries));
    const answers = client.answers();
    expect(answers.pop()?.type).toBe(OptionReply.ACK);
    return answers.map((answer) => {
      expect(answer.type).toBe(OptionReply.META_CONTEXT);
      expect(readU32(answer.data, 0)).toBe(setting ? 1 : 0);
      return text(answer.data.subarray(4));
    });
  }

  test('finds base:allocation, once', () => {
    expect(contexts(structured(), ['base:allocation'])).toEqual(['base:allocation']);
    expect(contexts(structured(), ['qemu:dirty-bitmap:x', 'base:allocation', 'base:allocation'])).toEqual(['base:allocation']);
  });

  test('a namespace alone is a wildcard in a list and selects nothing in a selection', () => {
    expect(contexts(structured(), ['base:'])).toEqual(setting ? [] : ['base:allocation']);
  });

  test('no query: a list has everything, a selection nothing', () => {
    expect(contexts(structured(), [])).toEqual(setting ? [] : ['base:allocation']);
  });

  test('foreign namespaces and unknown leaves are ignored', () => {
    expect(contexts(structured(), ['x-foo:bar', 'base:nosuch', 'qemu:'])).toEqual([]);
  });

  test('a query without a namespace is invalid', () => {
    expectRefused(structured(), option, metaData('vol', ['base']), OptionReply.ERR_INVALID, /namespace/);
  });

  test('without structured replies is invalid', () => {
    expectRefused(haggling(bedWith({ name: 'vol' })), option, metaData('vol', []), OptionReply.ERR_INVALID, /structured/);
  });

  test('an unknown export is an error', () => {
    expectRefused(structured(), option, metaData('nosuch', ['base:allocation']), OptionReply.ERR_UNKNOWN, /no export/);
  });

  test('malformed data is invalid: every truncation, a tail, counts that lie', () => {
    const good = metaData('vol', ['base:allocation', 'x:y']);
    const bad: Uint8Array[] = [concat([good, Uint8Array.of(0)])];
    for (let length = 0; length < good.length; length++) bad.push(good.subarray(0, length));
    bad.push(concat([u32(3), encodeText('vol'), u32(0xffff_ffff)]));
    bad.push(concat([u32(3), encodeText('vol'), u32(1), u32(4097), new Uint8Array(4097).fill(0x3a)]));
    const client = structured();
    for (const data of bad) expectRefused(client, option, data, OptionReply.ERR_INVALID, /list of queries/);
  });
});

test('metadata contexts count only for the export for which they were selected last, without an error', () => {
  const attempts: { options: [number, Uint8Array][]; allowed: boolean }[] = [
    { options: [[Option.SET_META_CONTEXT, metaData('a', ['base:allocation'])]], allowed: true },
    { options: [[Option.SET_META_CONTEXT, metaData('b', ['base:allocation'])]], allowed: false },
    { options: [], allowed: false },
    {
      options: [
        [Option.SET_META_CONTEXT, metaData('a', ['base:allocation'])],
        [Option.SET_META_CONTEXT, metaData('a', [])],
      ],
      allowed: false,
    },
    {
      options: [
        [Option.SET_META_CONTEXT, metaData('a', ['base:allocation'])],
        [Option.SET_META_CONTEXT, Uint8Array.of(1)],
      ],
      allowed: false,
    },
    {
      options: [
        [Option.SET_META_CONTEXT, metaData('a', ['base:allocation'])],
        [Option.LIST_META_CONTEXT, metaData('b', [])],
      ],
      allowed: true,
    },
  ];
  for (const { options, allowed } of attempts) {
    const client = haggling(bedWith({ name: 'a' }, { name: 'b' }));
    client.option(Option.STRUCTURED_REPLY);
    for (const [option, data] of options) client.option(option, data);
    client.option(Option.GO, infoData('a', []));
    client.take();
    client.request(NbdCommand.BLOCK_STATUS, 0, 1, 0, 4096);
    expect(client.replies()[0]?.type).toBe(allowed ? 5 : 0x8001);
  }
});

function hexBytes(digits: string): Uint8Array {
  return Uint8Array.from(digits.match(/../g) as string[], (pair) => Number.parseInt(pair, 16));
}

describe('an export that is announced, and not served yet', () => {
  const COMING = { name: 'coming', description: 'pool coming, not served yet', why: () => 'it waits for storage-2' };

  function bedComing(exportWaitMs: number): TestBed {
    const bed = new TestBed({ exportWaitMs });
    bed.server.announceExport(COMING);
    return bed;
  }

  function serve(bed: TestBed, name = 'coming'): void {
    bed.server.addExport(new MemoryDevice(bed.world, 1 << 20, { name }));
    bed.settle();
  }

  test('is listed, and once only when it is served', () => {
    const bed = bedComing(0);
    const client = haggling(bed);
    client.option(Option.LIST);
    const [listed] = client.answers();
    expect(text(listed?.data.subarray(4) ?? new Uint8Array(0))).toBe('comingpool coming, not served yet');
    serve(bed);
    client.option(Option.LIST);
    expect(answerTypes(client)).toEqual([OptionReply.SERVER, OptionReply.ACK]);
  });

  test.each(['coming', ''])('asked for as "%s" without a time to wait, it is refused with the reason', (name) => {
    for (const option of [Option.INFO, Option.GO]) {
      const client = haggling(bedComing(0));
      expectRefused(
        client,
        option,
        infoData(name, []),
        OptionReply.ERR_UNKNOWN,
        /^export "coming" is not served yet: it waits for storage-2$/,
      );
    }
    const client = haggling(bedComing(0));
    client.option(Option.STRUCTURED_REPLY);
    client.answers();
    expectRefused(client, Option.SET_META_CONTEXT, metaData(name, ['base:allocation']), OptionReply.ERR_UNKNOWN, /not served yet/);
  });

  test('EXPORT_NAME can not be answered: the connection ends, and the client has broken nothing', () => {
    const bed = bedComing(0);
    const client = haggling(bed);
    client.option(Option.EXPORT_NAME, encodeText('coming'));
    bed.settle();
    expect(client.stream.closed).toBe(true);
    expect(bed.world.lines.some(({ level }) => level === 'warn')).toBe(false);
  });

  test.each(['coming', ''])(
    'asked for as "%s" with a time to wait, it is answered when it is served, what was sent behind it too',
    (name) => {
      const bed = bedComing(60_000);
      const client = haggling(bed);
      client.option(Option.STRUCTURED_REPLY);
      client.answers();
      client.option(Option.SET_META_CONTEXT, metaData(name, ['base:allocation']));
      client.option(Option.GO, infoData(name, []));
      bed.world.advance(59_000);
      bed.settle();
      expect(client.answers()).toEqual([]);
      serve(bed);
      expect(answerTypes(client)).toEqual([OptionReply.META_CONTEXT, OptionReply.ACK, OptionReply.INFO, OptionReply.ACK]);
      bed.server.verify();
    },
  );

  test('EXPORT_NAME waits as well', () => {
    const bed = bedComing(60_000);
    const client = haggling(bed);
    client.option(Option.EXPORT_NAME, encodeText('coming'));
    serve(bed);
    expect(client.take().length).toBeGreaterThan(8);
  });

  test('the wait ends with the reason, and then there is the usual time to choose another one', () => {
    const bed = bedComing(HANDSHAKE_MS_MAX * 10);
    const client = haggling(bed);
    client.option(Option.GO, infoData('coming', []));
    bed.world.advance(HANDSHAKE_MS_MAX * 10 - 1);
    bed.settle();
    expect(client.answers()).toEqual([]);
    bed.world.advance(1);
    bed.settle();
    expect(answerTypes(client)).toEqual([OptionReply.ERR_UNKNOWN]);
    client.option(Option.GO, infoData('coming', []));
    expect(answerTypes(client)).toEqual([OptionReply.ERR_UNKNOWN]);
    bed.world.advance(HANDSHAKE_MS_MAX);
    bed.settle();
    expect(client.stream.closed).toBe(true);
    expect(bed.heldBytes()).toBe(0);
  });

  test('another export that comes meanwhile is not mistaken for it; one without end is waited for without end', () => {
    const bed = bedComing(Number.POSITIVE_INFINITY);
    const client = haggling(bed);
    client.option(Option.GO, infoData('coming', []));
    bed.world.advance(10 * 24 * 3600 * 1000);
    serve(bed, 'other');
    expect(client.answers()).toEqual([]);
    serve(bed);
    expect(answerTypes(client)).toEqual([OptionReply.INFO, OptionReply.ACK]);
  });

  test('a client that goes away while it waits, and a server that stops, leave nothing behind', () => {
    for (const end of ['client', 'server']) {
      const bed = bedComing(60_000);
      const client = haggling(bed);
      client.option(Option.GO, infoData('coming', []));
      if (end === 'client') client.stream.destroy('gone');
      else bed.server.shutdown(true, () => {});
      bed.settle();
      if (end === 'client') serve(bed);
      expect([client.stream.closed, bed.heldBytes(), bed.server.connections()]).toEqual([true, 0, []]);
    }
  });

  test('a name that is not announced is refused at once, and the default export is not the one that happens to be served first', () => {
    const bed = bedComing(60_000);
    const client = haggling(bed);
    expectRefused(client, Option.GO, infoData('wrong', []), OptionReply.ERR_UNKNOWN, /no export of that name/);
    serve(bed, 'other');
    expectRefused(client, Option.INFO, infoData('', []), OptionReply.ERR_UNKNOWN, /no export of that name/);
    serve(bed);
    expectRefused(client, Option.INFO, infoData('', []), OptionReply.ERR_UNKNOWN, /no export of that name/);
  });
});
