import protobuf from 'protobufjs';

/** The part of TensorFlow's protocol buffers that a graph of ours needs (tensorflow/core/framework/*.proto). */
const { root } = protobuf.parse(
  `syntax = "proto3";
  message TensorShapeProto { message Dim { int64 size = 1; } repeated Dim dim = 2; }
  message TensorProto { int32 dtype = 1; TensorShapeProto tensor_shape = 2; bytes tensor_content = 4; }
  message AttrValue {
    message ListValue { repeated int64 i = 3; repeated float f = 4; repeated int32 type = 6; repeated TensorShapeProto shape = 7; }
    oneof value {
      ListValue list = 1; bytes s = 2; int64 i = 3; float f = 4; bool b = 5; int32 type = 6; TensorShapeProto shape = 7; TensorProto tensor = 8;
    }
  }
  message NodeDef { string name = 1; string op = 2; repeated string input = 3; string device = 4; map<string, AttrValue> attr = 5; }
  message VersionDef { int32 producer = 1; }
  message GraphDef { repeated NodeDef node = 1; VersionDef versions = 4; }
  message MetaInfoDef { repeated string tags = 4; }
  message MetaGraphDef { MetaInfoDef meta_info_def = 1; GraphDef graph_def = 2; }
  message SavedModel { int64 saved_model_schema_version = 1; repeated MetaGraphDef meta_graphs = 2; }`,
  { keepCase: true },
);
const SavedModel = root.lookupType('SavedModel');

/** TensorFlow's `DataType` numbers. */
export const DataType = { float: 1, int32: 3, uint8: 4, bool: 10, resource: 20, variant: 21 } as const;

interface ShapeProto {
  readonly dim: readonly { readonly size: number }[];
}

/** One attribute of an op, as the `AttrValue` message. */
export type Attribute =
  | { readonly s: Uint8Array }
  | { readonly i: number }
  | { readonly f: number }
  | { readonly b: boolean }
  | { readonly type: number }
  | { readonly shape: ShapeProto }
  | { readonly tensor: { readonly dtype: number; readonly tensor_shape: ShapeProto; readonly tensor_content: Uint8Array } }
  | {
      readonly list: {
        readonly i?: readonly number[];
        readonly f?: readonly number[];
        readonly type?: readonly number[];
        readonly shape?: readonly ShapeProto[];
      };
    };

export type Attributes = Readonly<Record<string, Attribute>>;

const shapeProto = (shape: readonly number[]): ShapeProto => ({ dim: shape.map((size) => ({ size })) });

/** Builds attributes: `attribute.type(DataType.float)`. */
export const attribute = {
  string: (value: string): Attribute => ({ s: Buffer.from(value) }),
  int: (value: number): Attribute => ({ i: value }),
  float: (value: number): Attribute => ({ f: value }),
  bool: (value: boolean): Attribute => ({ b: value }),
  type: (value: number): Attribute => ({ type: value }),
  shape: (value: readonly number[]): Attribute => ({ shape: shapeProto(value) }),
  ints: (value: readonly number[]): Attribute => ({ list: { i: value } }),
  floats: (value: readonly number[]): Attribute => ({ list: { f: value } }),
  types: (value: readonly number[]): Attribute => ({ list: { type: value } }),
  shapes: (value: readonly (readonly number[])[]): Attribute => ({ list: { shape: value.map(shapeProto) } }),
  /** Row-major bytes in the machine's order, which is TensorFlow's too. */
  tensor: (dtype: number, shape: readonly number[], bytes: Uint8Array): Attribute => ({
    tensor: { dtype, tensor_shape: shapeProto(shape), tensor_content: bytes },
  }),
} as const;

/** An output of a node, `name:index`. */
export type Output = `${string}:${number}`;

/** What an output carries. */
export interface OutputType {
  readonly dtype: number;
  readonly shape: readonly number[];
}

export interface GraphNode {
  readonly name: string;
  readonly op: string;
  readonly inputs: readonly Output[];
  /** Nodes that have to run before this one without giving it anything. */
  readonly after: readonly string[];
  readonly attributes: Attributes;
  /** Of each output, where they are known. */
  readonly outputTypes: readonly OutputType[];
}

export function nodeOf(output: Output): string {
  return output.slice(0, output.lastIndexOf(':'));
}

/** The tag that a graph of ours is saved and loaded under. */
export const GRAPH_TAG = 'longtail';

/** Version of GraphDef's semantics that the nodes are written for: TensorFlow 2.9, the oldest one that the binding runs on. */
const PRODUCER = 1087;

/** Bytes of `saved_model.pb` with the nodes as its one graph. */
export function encodeSavedModel(nodes: readonly GraphNode[]): Uint8Array {
  const node = nodes.map(({ name, op, inputs, after, attributes }) => ({
    name,
    op,
    input: [...inputs, ...after.map((before) => `^${before}`)],
    attr: attributes,
  }));
  const message = {
    saved_model_schema_version: 1,
    meta_graphs: [{ meta_info_def: { tags: [GRAPH_TAG] }, graph_def: { node, versions: { producer: PRODUCER } } }],
  };
  return SavedModel.encode(message).finish();
}
