import { readFileSync } from 'node:fs'
import { AbiCoder, getCreate2Address, Interface, keccak256, sha256, toUtf8Bytes } from 'ethers'
import t from 'tap'
import {
  createdAddress,
  FACTORY,
  logKeyOf,
  originHash,
  registryAddress,
} from '../../daemon/chain-writer/addresses.ts'
import { compile } from '../../daemon/chain-writer/contracts/compile.ts'
import {
  anchoredEvent,
  anchoredTopics,
  decodeHead,
  decodeRegistration,
  encode,
  FOREVER,
  revertName,
} from '../../daemon/chain-writer/registry.ts'

const artefact = JSON.parse(
  readFileSync(new URL('../../daemon/chain-writer/contracts/AnchorRegistry.json', import.meta.url), 'utf8'),
)
const abi = new Interface(artefact.abi)
const owner = '0x00000000000000000000000000000000000000aa'
const contract = '0x00000000000000000000000000000000000000cc'
const logKey = logKeyOf(owner, 'example.org/log')
const root = 'ab'.repeat(32)

t.test('the committed artefact is what the source compiles to', async (t) => {
  const text = readFileSync(
    new URL('../../daemon/chain-writer/contracts/AnchorRegistry.json', import.meta.url),
    'utf8',
  )
  t.equal(text, compile())
})

t.test('encodes calls as an ABI library does', async (t) => {
  const proof = ['11'.repeat(32), '22'.repeat(32)]
  const hash = originHash('example.org/log')
  t.equal(encode.head(logKey), abi.encodeFunctionData('head', [logKey]))
  t.equal(encode.registration(logKey), abi.encodeFunctionData('registration', [logKey]))
  const vkeyHash = `0x${root}`
  t.equal(
    encode.authorize({ logId: hash, policy: 'history', gateway: owner, expiry: FOREVER, vkeyHash }),
    abi.encodeFunctionData('authorize', [hash, 2, owner, FOREVER, vkeyHash]),
  )
  const given = {
    owner,
    gateway: contract,
    logId: hash,
    vkeyHash,
    policy: 'consistent',
    notBefore: 5,
    expiry: FOREVER,
    nonce: 2n ** 64n - 1n,
  } as const
  const ofKey = `0x${'5a'.repeat(65)}`
  for (const signature of ['0x', '0x01', `0x${'a5'.repeat(32)}`, `0x${'a5'.repeat(64)}`, ofKey]) {
    t.equal(
      encode.authorizeSigned(given, signature, ofKey),
      abi.encodeFunctionData('authorizeSigned', [{ ...given, policy: 1 }, signature, ofKey]),
    )
    t.equal(encode.revokeSigned(given, signature), abi.encodeFunctionData('revokeSigned', [given, signature]))
  }
  t.equal(encode.revoke(hash), abi.encodeFunctionData('revoke', [hash]))
  t.equal(
    encode.anchor(logKey, 1234n, root, proof),
    abi.encodeFunctionData('anchor', [logKey, 1234n, `0x${root}`, proof.map((h) => `0x${h}`)]),
  )
})

t.test('decodes answers as an ABI library encodes them', async (t) => {
  t.same(decodeHead(abi.encodeFunctionResult('head', [99n, `0x${root}`])), { size: 99n, root })
  t.same(decodeRegistration(abi.encodeFunctionResult('registration', [owner, 1, contract, 5n, 7n])), {
    owner,
    policy: 'consistent',
    gateway: contract,
    until: 5,
    nonce: 7n,
  })
  const zero = `0x${'00'.repeat(20)}`
  t.same(decodeRegistration(abi.encodeFunctionResult('registration', [zero, 0, zero, 0n, 0n])), {
    owner: undefined,
    policy: 'head',
    gateway: undefined,
    until: 0,
    nonce: 0n,
  })
  t.equal(revertName(abi.encodeErrorResult('Stale', [1n, 2n])), 'Stale')
  t.equal(revertName('0x12345678'), undefined)
  t.equal(revertName(undefined), undefined)
})

t.test('refuses answers of another shape', async (t) => {
  const word = '00'.repeat(32)
  for (const data of ['0x', `0x${word}`, `0x${word}${word}${word}`, `0x${'ff'.repeat(64)}`]) {
    t.throws(() => decodeHead(data), { code: 'RPC_GARBAGE' }, data.slice(0, 20))
  }
  const bad = [
    `0x${'ff'.repeat(32)}${word.repeat(4)}`,
    `0x${word}${'ff'.repeat(32)}${word.repeat(3)}`,
    `0x${word.repeat(3)}${'ff'.repeat(32)}${word}`,
    `0x${word}${word}`,
  ]
  for (const data of bad) t.throws(() => decodeRegistration(data), { code: 'RPC_GARBAGE' })
})

t.test("reads its own event and nobody else's", async (t) => {
  const { data, topics } = abi.encodeEventLog('Anchored', [
    logKey,
    10n,
    `0x${root}`,
    4n,
    `0x${'00'.repeat(32)}`,
  ])
  const hash = `0x${'77'.repeat(32)}`
  const log = { address: contract, data, topics, transactionHash: hash, blockNumber: 3, blockHash: hash }
  t.same(topics, anchoredTopics(logKey, 10n))
  t.match(anchoredEvent(log, contract), {
    logKey,
    size: 10n,
    root,
    previousSize: 4n,
    transaction: hash,
    block: 3,
  })
  t.equal(anchoredEvent(log, owner), undefined)
  t.equal(anchoredEvent({ ...log, topics: [hash, logKey, hash] }, contract), undefined)
  t.equal(anchoredEvent({ ...log, topics: topics.slice(0, 2) }, contract), undefined)
  t.throws(() => anchoredEvent({ ...log, data: '0x00' }, contract), { code: 'RPC_GARBAGE' })
})

t.test('derives the log key and addresses as the contract and the factory do', async (t) => {
  const origin = sha256(toUtf8Bytes('example.org/log'))
  t.equal(originHash('example.org/log'), origin)
  t.equal(logKey, keccak256(AbiCoder.defaultAbiCoder().encode(['address', 'bytes32'], [owner, origin])))
  const salt = `0x${'00'.repeat(32)}`
  t.equal(registryAddress, getCreate2Address(FACTORY, salt, keccak256(artefact.bytecode)).toLowerCase())
  // A published pair: the first contract of anvil's and hardhat's first account.
  t.equal(
    createdAddress('0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266', 0),
    '0x5fbdb2315678afecb367f032d93f642f64180aa3',
  )
})
