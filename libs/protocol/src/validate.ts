import { LongtailError, printable } from '@longtail/core';
import type protobuf from 'protobufjs';
import { messageType } from './descriptor.js';
import type { MessageTypes } from './generated/messages.js';
import { LIMITS } from './limits.js';

type Check = (value: unknown, path: string) => void;

/** Numbers that a diverged run makes non-finite: what that means is the runtime's to decide. */
const MAY_BE_NON_FINITE = new Set(['lossSum', 'loss']);

/** Of which people are shown lists. */
const ONE_LINE = new Set(['name', 'engine', 'description']);

const checks = new Map<string, Check>();

/**
 * A decoded message from an untrusted peer as its generated type: every sub-message present, numbers finite and not negative,
 * enums known, texts and lists within LIMITS. Its texts are made printable in place. Throws LongtailError `protocol` naming the field.
 */
export function validateMessage<Name extends keyof MessageTypes>(name: Name, value: unknown): MessageTypes[Name] {
  checkOf(name)(value, name);
  return value as MessageTypes[Name];
}

function checkOf(name: string): Check {
  let check = checks.get(name);
  if (check === undefined) {
    check = messageCheck(messageType(name));
    checks.set(name, check);
  }
  return check;
}

function messageCheck(type: protobuf.Type): Check {
  const [oneof] = type.oneofsArray;
  const always = type.fieldsArray.filter((field) => field.partOf === null).map(namedCheck);
  const members = new Map(oneof?.fieldsArray.map((field) => [field.name, namedCheck(field)]));
  return (value, path) => {
    if (typeof value !== 'object' || value === null) throw violation(path, 'is missing');
    const message = value as Record<string, unknown>;
    for (const check of always) check(message, path);
    if (oneof === undefined) return;
    const member = members.get(message[oneof.name] as string);
    if (member === undefined) throw violation(path, 'carries no known message');
    member(message, path);
  };
}

function namedCheck(field: protobuf.Field): (message: Record<string, unknown>, path: string) => void {
  const single = valueCheck(field);
  const check = field.repeated ? listCheck(single) : single;
  const { name } = field;
  if (field.type !== 'string' || name.endsWith('Json')) return (message, path) => check(message[name], `${path}.${name}`);
  const clean = (text: string): string => printable(text, !ONE_LINE.has(name));
  return (message, path) => {
    check(message[name], `${path}.${name}`);
    message[name] = field.repeated ? (message[name] as string[]).map(clean) : clean(message[name] as string);
  };
}

function listCheck(single: Check): Check {
  return (value, path) => {
    if (!Array.isArray(value)) throw violation(path, 'is no list');
    if (value.length > LIMITS.entries) throw violation(path, `has ${value.length} entries, the limit is ${LIMITS.entries}`);
    value.forEach((entry, index) => single(entry, `${path}[${index}]`));
  };
}

function valueCheck(field: protobuf.Field): Check {
  const type = field.resolvedType;
  if (type !== null && 'fields' in type) return (value, path) => checkOf(type.name)(value, path);
  if (type !== null) return enumCheck(type);
  if (field.name.endsWith('Address')) return addressCheck;
  if (field.type === 'string') return textCheck(field.name.endsWith('Json') ? LIMITS.jsonText : LIMITS.text);
  if (field.type === 'bool') return booleanCheck;
  if (field.type === 'double') return MAY_BE_NON_FINITE.has(field.name) ? numberCheck : amountCheck;
  return countCheck;
}

function enumCheck(type: protobuf.Enum): Check {
  const known = new Set(Object.keys(type.values).filter((name) => !name.endsWith('_UNSPECIFIED')));
  return (value, path) => {
    if (!known.has(value as string)) throw violation(path, `is ${String(value)}, not one of ${[...known].join(', ')}`);
  };
}

function textCheck(limit: number): Check {
  return (value, path) => {
    if (typeof value !== 'string') throw violation(path, 'is no text');
    if (value.length > limit) throw violation(path, `has ${value.length} characters, the limit is ${limit}`);
  };
}

/** `host:port` or `[v6]:port`, or nothing. */
const addressCheck: Check = (value, path) => {
  textCheck(LIMITS.headerText)(value, path);
  const port = Number(/^(?:\[[0-9a-fA-F:.]+\]|[^\s:[\]/]+):(\d{1,5})$/.exec(value as string)?.[1]);
  if (value !== '' && !(port >= 1 && port <= 65_535)) throw violation(path, `is ${JSON.stringify(value)}, not HOST:PORT`);
};

const booleanCheck: Check = (value, path) => {
  if (typeof value !== 'boolean') throw violation(path, 'is no boolean');
};

const numberCheck: Check = (value, path) => {
  if (typeof value !== 'number') throw violation(path, 'is no number');
};

const amountCheck: Check = (value, path) => {
  if (!Number.isFinite(value) || (value as number) < 0) throw violation(path, `is ${String(value)}, not a finite number ≥ 0`);
};

const countCheck: Check = (value, path) => {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw violation(path, `is ${String(value)}, not a count`);
};

export function violation(path: string, problem: string): LongtailError {
  return new LongtailError(`${path} ${problem}`, { code: 'protocol', where: path });
}
