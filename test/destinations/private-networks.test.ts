import { describe, expect, it } from 'vitest';
import { isPrivate, refusal } from '../../src/destinations/private-networks.ts';

describe('private networks', () => {
  it.each(['4000::1', '8000::1', '::2', '::7f00:1', '::fffe:7f00:1', '64:ff9b:1::a00:1', '2001::1', '2002:808:808::1'])(
    'are all of IPv6 that has not been given out, such as %s',
    (address) => {
      expect(isPrivate(address)).toBe(true);
    },
  );

  const metadata = [
    '169.254.169.254',
    '169.254.1.1',
    'fe80::1',
    'fe80::1%eth0',
    'fd00:ec2::254',
    'fd20:ce::254',
    '100.100.100.200',
    '168.63.129.16',
    '192.0.0.192',
    '::ffff:169.254.169.254',
    '64:ff9b::a9fe:a9fe',
    '2002:a9fe:a9fe::1',
  ];

  it.each(metadata)('never contain %s, even when all are allowed', (address) => {
    expect(refusal(address, true)).toBe('metadata');
    expect(refusal(address, ['0.0.0.0/0', '::/0', 'fd00::/8', '100.64.0.0/10'])).toBe('metadata');
    expect(refusal(address, false)).not.toBeNull();
  });

  it('contain a metadata address that is listed by itself, or with nothing but its like', () => {
    expect(refusal('169.254.169.254', ['169.254.0.0/16'])).toBeNull();
    expect(refusal('64:ff9b::a9fe:a9fe', ['169.254.169.254/32'])).toBeNull();
    expect(refusal('fd00:ec2::254', ['fd00:ec2::254/128'])).toBeNull();
    expect(refusal('fe80::1', ['fe80::/64'])).toBeNull();
    expect(refusal('fd00:ec2::254', ['fd00:ec2::/32'])).toBe('metadata');
  });

  it('are open as far as they are listed', () => {
    const listed = ['10.0.0.0/8', 'fd00::/8'];
    for (const address of ['10.1.2.3', '::ffff:10.1.2.3', '64:ff9b::a01:203', 'fd12::1']) {
      expect(refusal(address, listed)).toBeNull();
      expect(refusal(address, listed, { plain: true })).toBeNull();
    }
    for (const address of ['127.0.0.1', '11.0.0.1', '192.168.0.1', 'fc00::1', '::1', 'nonsense', '']) {
      expect(refusal(address, listed) === null).toBe(address === '11.0.0.1');
    }
    expect(refusal('1.1.1.1', listed, { plain: true })).toBe('plain');
    expect(refusal('1.1.1.1', true, { plain: true })).toBeNull();
  });
});
