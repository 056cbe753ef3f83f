import fc from 'fast-check'
import t from 'tap'
import {
  clientInitialKeys,
  findInitials,
  openInitial,
  type QuicVersion,
} from '../../daemon/wire/quic-initial.ts'
import { cryptoFrame, helloMessage, sealInitial } from './sensor-fixture.ts'

/** RFC 9001 appendix A and RFC 9369 appendix A: the same id and ClientHello in both. */
const FIRST_ID = Buffer.from('8394c8f03e515708', 'hex')
const VECTORS = [
  {
    version: 1,
    keys: {
      key: '1f369613dd76d5467730efcbe3b1a22d',
      iv: 'fa044b2f42a3fd3b46fb255c',
      headerProtection: '9f50449e04a0e810283a1e9933adedd2',
    },
    packet: [
      'c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11d242b123dc9bd8bab936b47d92ec356c0bab7df5',
      '976d27cd449f63300099f3991c260ec4c60d17b31f8429157bb35a1282a643a8d2262cad67500cadb8e7378c8eb7539ec4d4905f',
      'ed1bee1fc8aafba17c750e2c7ace01e6005f80fcb7df621230c83711b39343fa028cea7f7fb5ff89eac2308249a02252155e2347',
      'b63d58c5457afd84d05dfffdb20392844ae812154682e9cf012f9021a6f0be17ddd0c2084dce25ff9b06cde535d0f920a2db1bf3',
      '62c23e596d11a4f5a6cf3948838a3aec4e15daf8500a6ef69ec4e3feb6b1d98e610ac8b7ec3faf6ad760b7bad1db4ba3485e8a94',
      'dc250ae3fdb41ed15fb6a8e5eba0fc3dd60bc8e30c5c4287e53805db059ae0648db2f64264ed5e39be2e20d82df566da8dd5998c',
      'cabdae053060ae6c7b4378e846d29f37ed7b4ea9ec5d82e7961b7f25a9323851f681d582363aa5f89937f5a67258bf63ad6f1a0b',
      '1d96dbd4faddfcefc5266ba6611722395c906556be52afe3f565636ad1b17d508b73d8743eeb524be22b3dcbc2c7468d54119c74',
      '68449a13d8e3b95811a198f3491de3e7fe942b330407abf82a4ed7c1b311663ac69890f4157015853d91e923037c227a33cdd5ec',
      '281ca3f79c44546b9d90ca00f064c99e3dd97911d39fe9c5d0b23a229a234cb36186c4819e8b9c5927726632291d6a418211cc29',
      '62e20fe47feb3edf330f2c603a9d48c0fcb5699dbfe5896425c5bac4aee82e57a85aaf4e2513e4f05796b07ba2ee47d80506f8d2',
      'c25e50fd14de71e6c418559302f939b0e1abd576f279c4b2e0feb85c1f28ff18f58891ffef132eef2fa09346aee33c28eb130ff2',
      '8f5b766953334113211996d20011a198e3fc433f9f2541010ae17c1bf202580f6047472fb36857fe843b19f5984009ddc324044e',
      '847a4f4a0ab34f719595de37252d6235365e9b84392b061085349d73203a4a13e96f5432ec0fd4a1ee65accdd5e3904df54c1da5',
      '10b0ff20dcc0c77fcb2c0e0eb605cb0504db87632cf3d8b4dae6e705769d1de354270123cb11450efc60ac47683d7b8d0f811365',
      '565fd98c4c8eb936bcab8d069fc33bd801b03adea2e1fbc5aa463d08ca19896d2bf59a071b851e6c239052172f296bfb5e724047',
      '90a2181014f3b94a4e97d117b438130368cc39dbb2d198065ae3986547926cd2162f40a29f0c3c8745c0f50fba3852e566d44575',
      'c29d39a03f0cda721984b6f440591f355e12d439ff150aab7613499dbd49adabc8676eef023b15b65bfc5ca06948109f23f350db',
      '82123535eb8a7433bdabcb909271a6ecbcb58b936a88cd4e8f2e6ff5800175f113253d8fa9ca8885c2f552e657dc603f252e1a8e',
      '308f76f0be79e2fb8f5d5fbbe2e30ecadd220723c8c0aea8078cdfcb3868263ff8f0940054da48781893a7e49ad5aff4af300cd8',
      '04a6b6279ab3ff3afb64491c85194aab760d58a606654f9f4400e8b38591356fbf6425aca26dc85244259ff2b19c41b9f96f3ca9',
      'ec1dde434da7d2d392b905ddf3d1f9af93d1af5950bd493f5aa731b4056df31bd267b6b90a079831aaf579be0a39013137aac6d4',
      '04f518cfd46840647e78bfe706ca4cf5e9c5453e9f7cfd2b8b4c8d169a44e55c88d4a9a7f9474241e221af44860018ab0856972e',
      '194cd934',
    ],
  },
  {
    version: 2,
    keys: {
      key: '8b1a0bc121284290a29e0971b5cd045d',
      iv: '91f73e2351d8fa91660e909f',
      headerProtection: '45b95e15235d6f45a6b19cbcb0294ba9',
    },
    packet: [
      'd76b3343cf088394c8f03e5157080000449ea0c95e82ffe67b6abcdb4298b485dd04de806071bf03dceebfa162e75d6c96058bdb',
      'fb127cdfcbf903388e99ad049f9a3dd4425ae4d0992cfff18ecf0fdb5a842d09747052f17ac2053d21f57c5d250f2c4f0e0202b7',
      '0785b7946e992e58a59ac52dea6774d4f03b55545243cf1a12834e3f249a78d395e0d18f4d766004f1a2674802a747eaa901c3f1',
      '0cda5500cb9122faa9f1df66c392079a1b40f0de1c6054196a11cbea40afb6ef5253cd6818f6625efce3b6def6ba7e4b37a40f77',
      '32e093daa7d52190935b8da58976ff3312ae50b187c1433c0f028edcc4c2838b6a9bfc226ca4b4530e7a4ccee1bfa2a3d396ae5a',
      '3fb512384b2fdd851f784a65e03f2c4fbe11a53c7777c023462239dd6f7521a3f6c7d5dd3ec9b3f233773d4b46d23cc375eb198c',
      '63301c21801f6520bcfb7966fc49b393f0061d974a2706df8c4a9449f11d7f3d2dcbb90c6b877045636e7c0c0fe4eb0f69754546',
      '0c806910d2c355f1d253bc9d2452aaa549e27a1fac7cf4ed77f322e8fa894b6a83810a34b361901751a6f5eb65a0326e07de7c12',
      '16ccce2d0193f958bb3850a833f7ae432b65bc5a53975c155aa4bcb4f7b2c4e54df16efaf6ddea94e2c50b4cd1dfe06017e0e9d0',
      '2900cffe1935e0491d77ffb4fdf85290fdd893d577b1131a610ef6a5c32b2ee0293617a37cbb08b847741c3b8017c25ca9052ca1',
      '079d8b78aebd47876d330a30f6a8c6d61dd1ab5589329de714d19d61370f8149748c72f132f0fc99f34d766c6938597040d8f9e2',
      'bb522ff99c63a344d6a2ae8aa8e51b7b90a4a806105fcbca31506c446151adfeceb51b91abfe43960977c87471cf9ad4074d30e1',
      '0d6a7f03c63bd5d4317f68ff325ba3bd80bf4dc8b52a0ba031758022eb025cdd770b44d6d6cf0670f4e990b22347a7db848265e3',
      'e5eb72dfe8299ad7481a408322cac55786e52f633b2fb6b614eaed18d703dd84045a274ae8bfa73379661388d6991fe39b0d93de',
      'bb41700b41f90a15c4d526250235ddcd6776fc77bc97e7a417ebcb31600d01e57f32162a8560cacc7e27a096d37a1a86952ec71b',
      'd89a3e9a30a2a26162984d7740f81193e8238e61f6b5b984d4d3dfa033c1bb7e4f0037febf406d91c0dccf32acf423cfa1e70710',
      '10d3f270121b493ce85054ef58bada42310138fe081adb04e2bd901f2f13458b3d6758158197107c14ebb193230cd1157380aa79',
      'cae1374a7c1e5bbcb80ee23e06ebfde206bfb0fcbc0edc4ebec309661bdd908d532eb0c6adc38b7ca7331dce8dfce39ab71e7c32',
      'd318d136b6100671a1ae6a6600e3899f31f0eed19e3417d134b90c9058f8632c798d4490da4987307cba922d61c39805d072b589',
      'bd52fdf1e86215c2d54e6670e07383a27bbffb5addf47d66aa85a0c6f9f32e59d85a44dd5d3b22dc2be80919b490437ae4f36a0a',
      'e55edf1d0b5cb4e9a3ecabee93dfc6e38d209d0fa6536d27a5d6fbb17641cde27525d61093f1b28072d111b2b4ae5f89d5974ee1',
      '2e5cf7d5da4d6a31123041f33e61407e76cffcdcfd7e19ba58cf4b536f4c4938ae79324dc402894b44faf8afbab35282ab659d13',
      'c93f70412e85cb199a37ddec600545473cfb5a05e08d0b209973b2172b4d21fb69745a262ccde96ba18b2faa745b6fe189cf772a',
      '9f84cbfc',
    ],
  },
] as const satisfies readonly { version: QuicVersion; keys: unknown; packet: readonly string[] }[]
const CLIENT_HELLO =
  '010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c000004130113020100' +
  '00c000000010000e00000b6578616d706c652e636f6dff01000100000a00080006001d00170018001000070005046' +
  '16c706e000500050100000000003300260024001d00209370b2c9caa47fbabaf4559fedba753de171fa71f50f1ce1' +
  '5d43e994ec74d748002b0003020304000d0010000e0403050306030203080408050806002d00020101001c0002400' +
  '1003900320408ffffffffffffffff05048000ffff07048000ffff0801100104800075300901100f088394c8f03e51' +
  '570806048000ffff'

const bytesOf = (hex: readonly string[]) => Buffer.from(hex.join(''), 'hex')
const open = (datagram: Buffer, firstId = FIRST_ID, largest?: number) =>
  findInitials(datagram).map((initial) =>
    openInitial(initial, clientInitialKeys(initial.version, firstId), largest),
  )

for (const { version, keys, packet } of VECTORS) {
  t.test(`opens the client Initial of the standard's appendix, version ${version}`, async (t) => {
    const derived = clientInitialKeys(version, FIRST_ID)
    t.same(
      Object.fromEntries(Object.entries(derived).map(([name, value]) => [name, value.toString('hex')])),
      keys,
    )
    const [found, ...more] = findInitials(bytesOf(packet))
    t.equal(more.length, 0)
    t.equal(found?.version, version)
    t.equal(found?.destinationId.toString('hex'), FIRST_ID.toString('hex'))
    const opened = found && openInitial(found, derived)
    t.equal(opened?.packetNumber, 2)
    t.equal(opened?.frames.length, 1)
    t.equal(opened?.frames[0]?.offset, 0)
    t.equal(opened?.frames[0]?.data.toString('hex'), CLIENT_HELLO)
  })

  t.test(`a flipped bit anywhere in a packet of version ${version} is refused`, async (t) => {
    const packet_ = bytesOf(packet)
    for (const at of [0, 1, 5, 8, 16, 18, 20, 30, 600, 1199]) {
      const broken = Buffer.from(packet_)
      broken[at] = broken.readUInt8(at) ^ 1
      t.notOk(open(broken)[0], `byte ${at}`)
    }
  })
}

t.test('finds Initials behind other packets of the same datagram, and several in one', async (t) => {
  const initial = (packetNumber: number) =>
    sealInitial({
      firstId: FIRST_ID,
      packetNumber,
      frames: cryptoFrame(packetNumber, Buffer.from('ab')),
      payloadSize: 40,
    })
  // Type Handshake, same ids, length 5.
  const handshake = Buffer.concat([
    Buffer.from('e300000001', 'hex'),
    Buffer.from([8]),
    FIRST_ID,
    Buffer.from([0, 5, 1, 2, 3, 4, 5]),
  ])
  const numbers = (datagram: Buffer) => open(datagram).map((opened) => opened?.packetNumber)
  t.same(numbers(Buffer.concat([handshake, initial(0), initial(1)])), [0, 1])
  t.same(
    numbers(Buffer.concat([initial(0), Buffer.alloc(500), initial(1)])),
    [0, 1],
    'padding between datagrams sent at once',
  )
  t.same(numbers(Buffer.concat([initial(0), Buffer.from('not quic')])), [0])
})

t.test('reads tokens, short packet numbers and a cleared fixed bit', async (t) => {
  for (const numberSize of [1, 2, 3, 4] as const) {
    const packet = sealInitial({
      firstId: FIRST_ID,
      sourceId: Buffer.from('0102', 'hex'),
      token: Buffer.alloc(70, 9),
      packetNumber: 3,
      numberSize,
      frames: cryptoFrame(0, helloMessage('api.openai.com')),
    })
    t.equal(open(packet)[0]?.packetNumber, 3, `${numberSize} bytes`)
  }
  t.equal(
    findInitials(Buffer.concat([Buffer.from([0x80]), bytesOf(VECTORS[0].packet).subarray(1)])).length,
    1,
  )
})

t.test('completes a shortened packet number from the largest one seen', async (t) => {
  const packet = sealInitial({
    firstId: FIRST_ID,
    packetNumber: 0x1_02,
    numberSize: 1,
    frames: cryptoFrame(0, Buffer.from('ab')),
    payloadSize: 30,
  })
  // The sender's nonce has the whole number, of which one byte travels.
  t.equal(open(packet, FIRST_ID, 0xff)[0]?.packetNumber, 0x102)
  t.notOk(open(packet, FIRST_ID)[0], 'alone it would be 2')
})

t.test('passes over acknowledgements and pings between CRYPTO frames', async (t) => {
  const frames = Buffer.concat([
    Buffer.from([1, 0, 0]),
    // ACK with ECN counts: largest 5, delay 0, one further range, first range 1, gap 0, length 0, three counts.
    Buffer.from([3, 5, 0, 1, 1, 0, 0, 7, 7, 7]),
    cryptoFrame(4, Buffer.from('efgh')),
    Buffer.from([2, 5, 0, 0, 0]),
    cryptoFrame(0, Buffer.from('abcd')),
  ])
  const [opened] = open(sealInitial({ firstId: FIRST_ID, packetNumber: 0, frames }))
  t.same(
    opened?.frames.map(({ offset, data }) => [offset, data.toString()]),
    [
      [4, 'efgh'],
      [0, 'abcd'],
    ],
  )
})

t.test('no datagram makes it throw, and what was cut is not opened', async (t) => {
  const whole = bytesOf(VECTORS[0].packet)
  for (let length = 0; length < whole.length; length += 7) t.same(open(whole.subarray(0, length)), [])
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      fc.constantFrom('00000001', '6b3343cf'),
      (bytes, version) => {
        const datagram = Buffer.concat([Buffer.from(`c3${version}`, 'hex'), bytes])
        return open(datagram).every((opened) => opened === undefined)
      },
    ),
  )
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 4, maxLength: 120 }), (bytes) => {
      const [opened] = open(sealInitial({ firstId: FIRST_ID, packetNumber: 0, frames: Buffer.from(bytes) }))
      return opened !== undefined
    }),
  )
})
