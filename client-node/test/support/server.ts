/**
 * What the promises are tested on: the cluster that OXMQ_NAME_SERVER names, or else a broker in
 * this process.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type Client, type Delivery, type Producer, type PushConsumer, type Sql } from 'oxmq'
import { DevBroker } from 'oxmq/testing'
import * as wire from './wire.js'

/** Queues of the topics made here. */
export const QUEUES = 4
const PATIENCE_MS = 40_000

export class Server {
  readonly nameServer: string
  readonly broker: string
  /**
   * Whether it tells a group that has committed nothing from one that has committed 0. Apache does
   * so from 5.0 on.
   */
  readonly knowsNewGroups: boolean
  readonly #embedded: DevBroker | undefined
  readonly #clients: Client[] = []

  private constructor(nameServer: string, broker: string, version: string, embedded?: DevBroker) {
    this.nameServer = nameServer
    this.broker = broker
    this.knowsNewGroups = !version.startsWith('V4')
    this.#embedded = embedded
  }

  static async start(): Promise<Server> {
    const given = process.env.OXMQ_NAME_SERVER
    const embedded = given === undefined ? await DevBroker.start() : undefined
    const nameServer = given ?? embedded!.nameServer
    const broker = await wire.brokerOf(nameServer)
    const version = embedded === undefined ? await wire.versionOf(broker) : ''
    return new Server(nameServer, broker, version, embedded)
  }

  async stop(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()))
    await this.#embedded?.stop()
  }

  async client(): Promise<Client> {
    const client = await connect(this.nameServer)
    this.#clients.push(client)
    return client
  }

  /** Makes the topic, and a client with a producer. */
  async withTopic(topic: string, queues = QUEUES): Promise<{ client: Client; producer: Producer }> {
    await wire.createTopic(this.broker, topic, queues)
    const client = await this.client()
    return { client, producer: await client.producer('promises') }
  }

  /** How many messages a topic has had in all its queues. */
  async stored(topic: string, queues = QUEUES): Promise<number> {
    const counts = Array.from({ length: queues }, (_, id) => wire.maxOffset(this.broker, topic, id))
    return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0)
  }

  /** The sum of a group's committed offsets. */
  async committed(group: string, topic: string): Promise<number> {
    const offsets = await this.committedByQueue(group, topic)
    return offsets.reduce<number>((sum, offset) => sum + (offset ?? 0), 0)
  }

  committedByQueue(group: string, topic: string, queues = QUEUES): Promise<(number | undefined)[]> {
    return Promise.all(
      Array.from({ length: queues }, (_, id) => wire.committed(this.broker, group, topic, id)),
    )
  }
}

const run = Math.random().toString(36).slice(2, 8)

/** A name that no other run has used on the same cluster. */
export function own(name: string): string {
  return `node-${name}-${run}`
}

/** A consumer from the beginning on. */
export function fromFirst(
  client: Client,
  group: string,
  topic: string,
  wanted: string | Sql = '*',
): PushConsumer {
  return client.pushConsumer(group, { [topic]: wanted }, { consumeFrom: 'first' })
}

/** Sends numbered messages: bodies and keys `PREFIX-0`, `PREFIX-1` … */
export async function send(
  producer: Producer,
  topic: string,
  prefix: string,
  count: number,
): Promise<Set<string>> {
  const keys = Array.from({ length: count }, (_, number) => `${prefix}-${number}`)
  for (const key of keys) await producer.send({ topic, body: key, key })
  return new Set(keys)
}

/** The next message, which must come. */
export async function next(consumer: PushConsumer): Promise<Delivery> {
  const { done, value } = await consumer.next()
  if (done === true) throw new Error('the consumer has ended')
  return value
}

/** Takes and acknowledges so many: their keys. */
export async function take(consumer: PushConsumer, count: number): Promise<Set<string>> {
  const keys = new Set<string>()
  while (keys.size < count) {
    const delivery = await next(consumer)
    await delivery.ack()
    const key = delivery.keys.join(' ')
    if (keys.has(key)) throw new Error(`${key} came twice`)
    keys.add(key)
  }
  return keys
}

/** Waits until something that no event tells of is so. */
export async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + PATIENCE_MS
  while (!(await isSo())) {
    if (performance.now() > end) throw new Error(`never: ${what}`)
    await sleep(20)
  }
}
