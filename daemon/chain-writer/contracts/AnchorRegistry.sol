// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// Heads of append-only Merkle logs (C2SP tlog-checkpoint: a size and an RFC 6962 root), one per owner and origin.
///
/// Threat model: the gateway's key may be stolen. Its holder can never move a head back, and never give one size
/// two roots; under CONSISTENT it can't rewrite the log's past either, because each new head must come with an
/// RFC 9162 consistency proof from the last. The owner's key only registers, authorises and revokes.
///
/// There is no proxy, no administrator and no way to change this code.
contract AnchorRegistry {
    /// HEAD keeps the newest head. CONSISTENT also demands a consistency proof. HISTORY keeps the root of each size.
    enum Policy { HEAD, CONSISTENT, HISTORY }

    event Registered(bytes32 indexed logKey, address indexed owner, bytes32 originHash, Policy policy);
    event Authorized(bytes32 indexed logKey, address indexed gateway, uint64 until);
    event Revoked(bytes32 indexed logKey, address indexed gateway);
    /// `checkpointHash` is keccak256(abi.encode(logKey, size, root)): the whole head in one word.
    event Anchored(
        bytes32 indexed logKey,
        uint64 indexed size,
        bytes32 root,
        uint64 previousSize,
        bytes32 checkpointHash
    );

    error NotOwner();
    error NotAuthorized();
    error AlreadyRegistered();
    error BadGateway();
    error Stale(uint64 size, uint64 last);
    error Equivocation(uint64 size, bytes32 anchored, bytes32 offered);
    error Inconsistent();
    error TooLarge();

    /// `packed` holds all that `anchor` needs beside the root, so that an anchor touches two slots:
    /// gateway (160 bits) | until (40, Unix seconds) | policy (8) | size (48), from the lowest bit up.
    struct Log {
        bytes32 root; // unused under HISTORY, where `history` has it
        uint256 packed;
        address owner;
    }

    uint8 private constant CONSISTENT = uint8(Policy.CONSISTENT);
    uint8 private constant HISTORY = uint8(Policy.HISTORY);
    uint256 private constant UNTIL_SHIFT = 160;
    uint256 private constant POLICY_SHIFT = 200;
    uint256 private constant SIZE_SHIFT = 208;
    uint256 private constant NOT_SIZE = (1 << SIZE_SHIFT) - 1;

    mapping(bytes32 logKey => Log) private logs;
    mapping(bytes32 logKey => mapping(uint256 size => bytes32 root)) private history;

    // ---------------------------------------------------------------- the owner's part

    /// @param originHash SHA-256 of the checkpoint's origin line, without its newline.
    /// Registering again with the same policy changes nothing; the policy is fixed for good.
    function register(bytes32 originHash, Policy policy) external returns (bytes32 logKey) {
        logKey = keccak256(abi.encode(msg.sender, originHash));
        Log storage log = logs[logKey];
        if (log.owner != address(0)) {
            if (policyOf(log.packed) != policy) revert AlreadyRegistered();
            return logKey;
        }
        log.owner = msg.sender;
        log.packed = uint256(policy) << POLICY_SHIFT;
        emit Registered(logKey, msg.sender, originHash, policy);
    }

    /// Lets one gateway anchor until a time (Unix seconds, inclusive); replaces the one before.
    function authorize(bytes32 logKey, address gateway, uint64 until) external {
        Log storage log = ownLog(logKey);
        if (gateway == address(0)) revert BadGateway();
        if (until > type(uint40).max) revert TooLarge();
        uint256 kept = log.packed >> POLICY_SHIFT << POLICY_SHIFT;
        log.packed = kept | uint256(until) << UNTIL_SHIFT | uint160(gateway);
        emit Authorized(logKey, gateway, until);
    }

    /// Takes a gateway's right away; a gateway that has none is left alone.
    function revoke(bytes32 logKey, address gateway) external {
        Log storage log = ownLog(logKey);
        if (gateway == address(0) || address(uint160(log.packed)) != gateway) return;
        log.packed = log.packed >> POLICY_SHIFT << POLICY_SHIFT;
        emit Revoked(logKey, gateway);
    }

    // ---------------------------------------------------------------- the gateway's part

    /// @param proof RFC 9162 consistency proof from the last head; read under CONSISTENT only, empty for a first head.
    function anchor(bytes32 logKey, uint64 size, bytes32 root, bytes32[] calldata proof) external {
        Log storage log = logs[logKey];
        uint256 packed = log.packed;
        if (address(uint160(packed)) != msg.sender || uint40(packed >> UNTIL_SHIFT) < block.timestamp) {
            revert NotAuthorized();
        }
        uint64 last = uint64(packed >> SIZE_SHIFT);
        uint8 policy = uint8(packed >> POLICY_SHIFT);

        if (size <= last) {
            if (size < last || size == 0) revert Stale(size, last);
            bytes32 anchored = policy == HISTORY ? history[logKey][size] : log.root;
            if (anchored != root) revert Equivocation(size, anchored, root);
            return;
        }
        if (size > type(uint48).max) revert TooLarge();

        if (policy == HISTORY) {
            history[logKey][size] = root;
        } else {
            if (policy == CONSISTENT && !consistent(last, log.root, size, root, proof)) revert Inconsistent();
            log.root = root;
        }
        log.packed = packed & NOT_SIZE | uint256(size) << SIZE_SHIFT;
        emit Anchored(logKey, size, root, last, headHash(logKey, size, root));
    }

    // ---------------------------------------------------------------- views

    /// The newest head; (0, 0) where nothing is anchored.
    function head(bytes32 logKey) external view returns (uint64 size, bytes32 root) {
        Log storage log = logs[logKey];
        size = uint64(log.packed >> SIZE_SHIFT);
        root = policyOf(log.packed) == Policy.HISTORY ? history[logKey][size] : log.root;
    }

    /// The root anchored for a size, 0 where there is none: any size under HISTORY, else only the head's.
    function rootAt(bytes32 logKey, uint64 size) external view returns (bytes32) {
        Log storage log = logs[logKey];
        if (policyOf(log.packed) == Policy.HISTORY) return history[logKey][size];
        return size == uint64(log.packed >> SIZE_SHIFT) ? log.root : bytes32(0);
    }

    /// Who may do what; all zero where the log isn't registered.
    function registration(bytes32 logKey)
        external
        view
        returns (address owner, Policy policy, address gateway, uint64 until)
    {
        Log storage log = logs[logKey];
        uint256 packed = log.packed;
        return (log.owner, policyOf(packed), address(uint160(packed)), uint40(packed >> UNTIL_SHIFT));
    }

    /// RFC 9162 section 2.1.3.2. `leafHash` = SHA-256(0x00 || leaf).
    function verifyInclusion(uint64 size, bytes32 root, uint64 index, bytes32 leafHash, bytes32[] calldata proof)
        external
        view
        returns (bool)
    {
        if (index >= size) return false;
        uint256 fn = index;
        uint256 sn = uint256(size) - 1;
        bytes32 hash = leafHash;
        unchecked {
            for (uint256 i = 0; i < proof.length; ++i) {
                if (sn == 0) return false;
                if (fn & 1 == 1 || fn == sn) {
                    hash = node(proof[i], hash);
                    while (fn & 1 == 0 && fn != 0) {
                        fn >>= 1;
                        sn >>= 1;
                    }
                } else {
                    hash = node(hash, proof[i]);
                }
                fn >>= 1;
                sn >>= 1;
            }
        }
        return sn == 0 && hash == root;
    }

    /// RFC 9162 section 2.1.4.2. From an empty tree, and to the same tree, only the empty proof is right.
    function verifyConsistency(
        uint64 firstSize,
        bytes32 firstRoot,
        uint64 secondSize,
        bytes32 secondRoot,
        bytes32[] calldata proof
    ) external view returns (bool) {
        return consistent(firstSize, firstRoot, secondSize, secondRoot, proof);
    }

    // ---------------------------------------------------------------- inside

    function consistent(
        uint256 firstSize,
        bytes32 firstRoot,
        uint256 secondSize,
        bytes32 secondRoot,
        bytes32[] calldata proof
    ) private view returns (bool) {
        if (firstSize > secondSize) return false;
        if (firstSize == secondSize) return proof.length == 0 && firstRoot == secondRoot;
        if (firstSize == 0) return proof.length == 0;
        unchecked {
            uint256 fn = firstSize - 1;
            uint256 sn = secondSize - 1;
            while (fn & 1 == 1) {
                fn >>= 1;
                sn >>= 1;
            }
            uint256 i = 0;
            bytes32 fr = firstRoot;
            // The first tree is a whole subtree of the second exactly where its size is a power of two (fn is 0
            // here): its root then starts the path and isn't sent.
            if (fn != 0) {
                if (proof.length == 0) return false;
                fr = proof[0];
                i = 1;
            } else if (proof.length == 0) {
                return false;
            }
            bytes32 sr = fr;
            for (; i < proof.length; ++i) {
                if (sn == 0) return false;
                bytes32 sibling = proof[i];
                if (fn & 1 == 1 || fn == sn) {
                    fr = node(sibling, fr);
                    sr = node(sibling, sr);
                    while (fn & 1 == 0 && fn != 0) {
                        fn >>= 1;
                        sn >>= 1;
                    }
                } else {
                    sr = node(sr, sibling);
                }
                fn >>= 1;
                sn >>= 1;
            }
            return sn == 0 && fr == firstRoot && sr == secondRoot;
        }
    }

    /// SHA-256(0x01 || left || right) by the precompile 0x02: Solidity's own sha256() would copy its input twice.
    function node(bytes32 left, bytes32 right) private view returns (bytes32 hash) {
        assembly ("memory-safe") {
            let at := mload(0x40)
            mstore8(at, 1)
            mstore(add(at, 1), left)
            mstore(add(at, 33), right)
            // Fails only for want of gas, and then nothing may be believed.
            if iszero(staticcall(gas(), 2, at, 65, 0, 32)) { revert(0, 0) }
            hash := mload(0)
        }
    }

    /// keccak256(abi.encode(logKey, size, root)) without moving the free memory pointer.
    function headHash(bytes32 logKey, uint64 size, bytes32 root) private pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            let at := mload(0x40)
            mstore(at, logKey)
            mstore(add(at, 32), size)
            mstore(add(at, 64), root)
            hash := keccak256(at, 96)
        }
    }

    function ownLog(bytes32 logKey) private view returns (Log storage log) {
        log = logs[logKey];
        if (log.owner != msg.sender) revert NotOwner();
    }

    function policyOf(uint256 packed) private pure returns (Policy) {
        return Policy(uint8(packed >> POLICY_SHIFT));
    }
}
