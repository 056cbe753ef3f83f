import t from 'tap'
import { governsTarget } from '../../policies/governed-path.ts'

const cloudflare = { paths: ['/client/v4/accounts/*/ai/*', '/exact'] }

t.test('a provider without paths is governed for all', async (t) => {
  for (const target of ['/', '/anything?x', '*', '']) t.ok(governsTarget({}, target))
})

t.test('only the paths named are governed', async (t) => {
  for (const target of [
    '/client/v4/accounts/0a1b/ai/run/@cf/meta/llama-3-8b',
    '/client/v4/accounts/0a1b/ai/v1/chat/completions?stream=true',
    'https://api.cloudflare.com/client/v4/accounts/0a1b/ai/run',
    '/exact',
  ]) {
    t.ok(governsTarget(cloudflare, target), target)
  }
  for (const target of [
    '/client/v4/zones',
    '/client/v4/accounts/0a1b/workers/ai/run',
    '/client/v4/accounts/0a1b/ai',
    '/client/v4/accounts//ai/run'.replace('//', '/'),
    '/?path=/client/v4/accounts/0a1b/ai/run',
    '/exact/more',
    '/',
    '*',
  ]) {
    t.notOk(governsTarget(cloudflare, target), target)
  }
})

t.test('a path in disguise is still governed, and so is one that cannot be read', async (t) => {
  for (const target of [
    '/client/v4/accounts/0a1b/%61i/run',
    '/client//v4/accounts/0a1b/ai/run',
    '/client/v4/zones/../accounts/0a1b/ai/run',
    '/client/v4/accounts/0a1b/ai/../zones',
    '/client/v4/accounts/0a1b%2Fai%2Frun',
    '/client/v4/%ff%fe/x',
  ]) {
    t.ok(governsTarget(cloudflare, target), target)
  }
})
