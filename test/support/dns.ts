import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { isIP } from 'node:net';

export interface NameServer {
  /** As a resolver takes it: `127.0.0.1:5353`. */
  address: string;
  /** What it says of a name: its addresses, that there is none, that it failed, or nothing at all. Unknown names do not exist. */
  names: Map<string, readonly string[] | 'failure' | 'silence'>;
  /** Every question, in order of arrival: `hooks.example A`. */
  asked: string[];
  close(): Promise<void>;
}

const types: Record<number, { name: string; family: number }> = {
  1: { name: 'A', family: 4 },
  28: { name: 'AAAA', family: 6 },
};

/** A name server on loopback that speaks UDP (RFC 1035) and says what a test tells it to. */
export async function startNameServer(): Promise<NameServer> {
  const socket = createSocket('udp4');
  const names: NameServer['names'] = new Map();
  const asked: string[] = [];

  socket.on('message', (query, from) => {
    const { name, type, end } = questionOf(query);
    asked.push(`${name} ${types[type]?.name ?? type}`);
    const known = names.get(name);
    if (known === 'silence') return;
    const addresses = Array.isArray(known) ? known.filter((each) => isIP(each) === types[type]?.family) : [];
    const rcode = known === 'failure' ? 2 : known === undefined ? 3 : 0;
    const header = Buffer.alloc(12);
    query.copy(header, 0, 0, 2);
    header.writeUInt16BE(0x8180 | rcode, 2);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(addresses.length, 6);
    const answers = addresses.map((each) => recordOf(type, bytesOf(each)));
    socket.send(Buffer.concat([header, query.subarray(12, end), ...answers]), from.port, from.address);
  });

  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return {
    address: `127.0.0.1:${socket.address().port}`,
    names,
    asked,
    close: () => new Promise((resolve) => socket.close(() => resolve())),
  };
}

function questionOf(query: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join('.').toLowerCase(), type: query.readUInt16BE(at + 1), end: at + 5 };
}

/** Points back to the question's name, and may not be kept. */
function recordOf(type: number, data: Buffer): Buffer {
  const record = Buffer.alloc(12);
  record.writeUInt16BE(0xc00c, 0);
  record.writeUInt16BE(type, 2);
  record.writeUInt16BE(1, 4);
  record.writeUInt16BE(data.length, 10);
  return Buffer.concat([record, data]);
}

function bytesOf(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split('.').map(Number));
  const [head = '', tail = ''] = address.split('::');
  const groups = (part: string) => part.split(':').filter((group) => group !== '');
  const zeros = Array(8 - groups(head).length - groups(tail).length).fill('0');
  const all = [...groups(head), ...zeros, ...groups(tail)];
  return Buffer.from(all.map((group) => group.padStart(4, '0')).join(''), 'hex');
}
