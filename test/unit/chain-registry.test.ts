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
  t.equal(encode.register(hash, 'history'), abi.encodeFunctionData('register', [hash, 2]))
  t.equal(
    encode.authorize(logKey, owner, FOREVER),
    abi.encodeFunctionData('authorize', [logKey, owner, FOREVER]),
  )
  t.equal(
    encode.anchor(logKey, 1234n, root, proof),
    abi.encodeFunctionData('anchor', [logKey, 1234n, `0x${root}`, proof.map((h) => `0x${h}`)]),
  )
})

t.test('decodes answers as an ABI library encodes them', async (t) => {
  t.same(decodeHead(abi.encodeFunctionResult('head', [99n, `0x${root}`])), { size: 99n, root })
  t.same(decodeRegistration(abi.encodeFunctionResult('registration', [owner, 1, contract, 5n])), {
    owner,
    policy: 'consistent',
    gateway: contract,
    until: 5,
  })
  const zero = `0x${'00'.repeat(20)}`
  t.same(decodeRegistration(abi.encodeFunctionResult('registration', [zero, 0, zero, 0n])), {
    owner: undefined,
    policy: 'head',
    gateway: undefined,
    until: 0,
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
    `0x${'ff'.repeat(32)}${word}${word}${word}`,
    `0x${word}${'ff'.repeat(32)}${word}${word}`,
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
