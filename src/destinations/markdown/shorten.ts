import type { ListItem, Nodes, Root, RootContent, Table, TableRow } from 'mdast';
import { trimBytes } from '../trim.ts';
import { paragraph } from './tree.ts';

/** What a node's signs take besides its text, roughly as they do in Markdown. */
const signBytes = 2;

const mark = '…';
const markBytes = Buffer.byteLength(mark);

/** How much of a tree there is still room for. */
interface Room {
  bytes: number;
  /** Nothing follows the mark that tells of the cut. */
  isSpent: boolean;
}

/**
 * The beginning of a tree, in about `bytes` bytes of Markdown; what was cut ends with a mark. The tree itself stays as it is, so that it
 * is parsed once for every length that is tried.
 */
export function shortened(root: Root, bytes: number): Root {
  const room = { bytes, isSpent: bytes <= 0 };
  return { ...root, children: root.children.flatMap((node) => taken(node, room) as RootContent[]) };
}

function taken(node: Nodes, room: Room): Nodes[] {
  if (room.isSpent) return [];
  const own = signBytes + ('url' in node ? Buffer.byteLength(node.url) : 0);
  if ('value' in node) {
    const size = Buffer.byteLength(node.value);
    const left = room.bytes;
    room.bytes -= size;
    if (room.bytes >= 0) return [node];
    room.isSpent = true;
    // A text that is shorter than the mark would come back whole.
    return [{ ...node, value: size <= markBytes ? mark : trimBytes(node.value, Math.max(left, markBytes)) }];
  }
  if (room.bytes < own) {
    room.isSpent = true;
    return [ending(node)];
  }
  room.bytes -= own;
  if (node.type === 'table') return rows(node, room);
  if (!('children' in node)) return [node];
  const children = (node.children as Nodes[]).flatMap((child) => taken(child, room));
  return [{ ...node, children } as Nodes];
}

/** A row is kept whole or not at all. */
function rows(table: Table, room: Room): Nodes[] {
  const children: TableRow[] = [];
  for (const row of table.children) {
    room.bytes -= size(row);
    room.isSpent = room.bytes < 0;
    if (room.isSpent) break;
    children.push(row);
  }
  const kept: Nodes[] = children.length > 0 ? [{ ...table, children }] : [];
  return room.isSpent ? [...kept, paragraph(mark)] : kept;
}

function size(node: Nodes): number {
  if ('value' in node) return Buffer.byteLength(node.value);
  const own = signBytes + ('url' in node ? Buffer.byteLength(node.url) : 0);
  return 'children' in node ? node.children.reduce((sum: number, child: Nodes) => sum + size(child), own) : own;
}

/** The mark, as what may stand in the node's place. */
function ending({ type }: Nodes): Nodes {
  switch (type) {
    case 'strong':
    case 'emphasis':
    case 'delete':
    case 'link':
    case 'break':
      return { type: 'text', value: mark };
    case 'listItem':
      return { type: 'listItem', children: [paragraph(mark)] } satisfies ListItem;
    default:
      return paragraph(mark);
  }
}
